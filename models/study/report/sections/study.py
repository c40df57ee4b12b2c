"""Who was studied and how: cohort, workflow, clinical features, stability."""

from __future__ import annotations

from models.study.report.blocks import Block, Section, Text
from models.study.report.composing import Composer
from models.study.report.derived import exclusions_table
from models.study.report.wording import say


def cohort_section(composer: Composer) -> Section:
    """Flowchart, Table 1, intermediates, exclusions by name."""
    blocks: list[Block] = [
        Text(say("text.cohort")),
        composer.picture("flowchart"),
        *composer.tables("table1"),
        *composer.tables("intermediates"),
    ]
    if composer.view.table("exclusions"):
        blocks += composer.tables("exclusions", "list")
    elif (derived := exclusions_table(composer.view)) is not None:
        blocks.append(composer.grid(derived, "list"))
    else:
        blocks.append(Text(say("absent.exclusions"), "absent"))
    return composer.section("cohort", *blocks)


def method_section(composer: Composer) -> Section:
    """Workflow figure and the procedure in words."""
    view = composer.view
    both = len(view.result.models) > 1
    return composer.section(
        "method",
        composer.picture("workflow"),
        Text(say("text.models")),
        Text(say(f"text.mode_{view.mode}")),
        Text(say("text.mode_both" if both else "text.mode_one")),
        Text(say("text.statistics")),
    )


def clinical_section(composer: Composer) -> Section:
    """Logistic regression of the clinical features, stability of all features, harmonisation."""
    return composer.section(
        "clinical",
        *composer.tables("regression"),
        *composer.tables("stability"),
        *composer.tables("harmonisation"),
    )
