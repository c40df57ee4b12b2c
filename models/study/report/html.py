"""The report as one HTML file that needs nothing else: no script, no network, no other file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from models.study.report.blocks import Block, Section
from models.study.report.composing import Composer
from models.study.report.figures import Drawing, inline
from models.study.report.headline import headlines, judged_on
from models.study.report.sections.closing import (
    checklist_sections,
    cost_section,
    limits_section,
    manifest_section,
    paper_section,
)
from models.study.report.sections.performance import (
    calibration_section,
    decision_section,
    discrimination_section,
    errors_section,
    readers_section,
)
from models.study.report.sections.study import clinical_section, cohort_section, method_section
from models.study.report.sections.trust import (
    features_section,
    further_section,
    gap_section,
    robustness_section,
)
from models.study.report.typeface import font_css
from models.study.report.view import View
from models.study.report.wording import call, say
from models.study.results import StudyResult


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("models.study.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(say=say, kind=_kind, figure=_figure)
    made.filters["breakable"] = _breakable
    return made


def _unbroken(value: object) -> object:
    """Keep a number and its percent sign on one line."""
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if isinstance(value, str) else value


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _figure(drawing: Drawing) -> Markup:
    return Markup(inline(drawing))  # noqa: S704 - our own drawing, its words are escaped


def _breakable(text: str) -> Markup:
    """Let long names and hashes break after their joints."""
    escaped = str(Markup.escape(text))
    for joint in ("_", ".", "/"):
        escaped = escaped.replace(joint, joint + "<wbr>")
    return Markup(escaped)  # noqa: S704 - escaped above


def compose(view: View, drawings: Mapping[str, Drawing]) -> tuple[Section, ...]:
    """Put the report together, in reading order."""
    composer = Composer(view, drawings)
    body = [
        cohort_section(composer),
        method_section(composer),
        clinical_section(composer),
        discrimination_section(composer),
        calibration_section(composer),
        decision_section(composer),
        readers_section(composer),
        errors_section(composer),
        gap_section(composer),
        robustness_section(composer),
        features_section(composer),
        further_section(composer),
        limits_section(composer),
        paper_section(composer),
        cost_section(composer),
    ]
    shown = [section for section in body if section is not None]
    numbers = {
        section.key: (f"\N{SECTION SIGN}{section.number}", section.title) for section in shown
    }
    numbers |= {
        key: (letter, say(f"heading.{key}"))
        for letter, key in zip("ABCD", ("tripod_ai", "claim", "metrics", "manifest"), strict=True)
    }
    shown += checklist_sections(composer, numbers)
    return (*shown, manifest_section(composer))


def render_html(result: StudyResult, drawings: Mapping[str, Drawing]) -> str:
    """Write the whole report.

    Args:
        result: The study.
        drawings: Its figures by name, from `figures.draw_all`.

    Returns:
        A UTF-8 HTML document with style, letters and figures inside; the same for the same input.
    """
    view = View(result)
    environment = _environment()
    loader = environment.loader
    if loader is None:
        raise RuntimeError("the environment of the report has no templates")
    css, _, _ = loader.get_source(environment, "report.css")
    return environment.get_template("report.html").render(
        result=result,
        view=view,
        sections=compose(view, drawings),
        headlines=headlines(view),
        subject=_subject(view),
        css=Markup(font_css() + "\n" + css),  # noqa: S704 - our own file
    )


def _subject(view: View) -> str:
    model = view.primary
    if model is None:
        return say("headline.nothing")
    cohort = judged_on(view)
    found = view.performance(model, cohort)
    labels = model.cross_validated.labels if found is None else found.labels
    return say(
        f"headline.subject_{cohort}",
        model=call(model.name),
        cases=len(labels),
        malignant=int(labels.sum()),
    )
