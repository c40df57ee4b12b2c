"""The whole report of a study: complete, self-contained, honest about what is missing."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import models.study.report.pdf as pdf_module
from models.study.report import write_report
from models.study.report.errors import PdfError, ReportError
from models.study.report.figures import Drawing, draw_all, inline, standalone
from models.study.report.html import compose, render_html
from models.study.report.pdf import render_pdf
from models.study.report.typeface import font_css
from models.study.report.view import View
from models.study.report.wording import words
from models.study.results import StudyResult, Table
from tests.study_fixtures import a_study

SMALL = ("CM", "Rad")


class _Outline(HTMLParser):
    """Collects what a checker of accessibility looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.heads_without_scope = 0
        self.drawings: list[str | None] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "a":
            self.links.append(str(found.get("href")))
        if tag == "th" and found.get("scope") not in {"col", "row"}:
            self.heads_without_scope += 1
        if tag == "svg":
            self.drawings.append(found.get("aria-labelledby"))
        if tag in {"script", "link", "iframe", "object", "img"}:
            self.outside.append(tag)
        for name in ("src", "href", "xlink:href"):
            value = found.get(name) or "#"
            if not value.startswith("#"):
                self.outside.append(value)


@pytest.fixture(scope="module")
def a_full_study() -> StudyResult:
    return a_study()


@pytest.fixture(scope="module")
def its_drawings(a_full_study: StudyResult) -> dict[str, Drawing]:
    return draw_all(View(a_full_study))


@pytest.fixture(scope="module")
def a_full_page(a_full_study: StudyResult, its_drawings: dict[str, Drawing]) -> str:
    return render_html(a_full_study, its_drawings)


@pytest.fixture(scope="module")
def its_outline(a_full_page: str) -> _Outline:
    outline = _Outline()
    outline.feed(a_full_page)
    return outline


@pytest.fixture
def an_empty_study() -> StudyResult:
    return StudyResult("Nothing", False, (), {}, (), (), ())


def _page(result: StudyResult) -> str:
    return render_html(result, {})  # the words alone: drawing takes seconds


def test_the_page_needs_no_other_file_no_script_and_no_network(
    a_full_page: str, its_outline: _Outline
) -> None:
    assert its_outline.outside == []
    urls = re.findall(r"url\(([^)]{1,40})", a_full_page)
    assert all(url.startswith(("data:", "#")) for url in urls)
    assert "@import" not in a_full_page


def test_headings_come_in_order_and_ids_are_unique(its_outline: _Outline) -> None:
    assert its_outline.headings[0] == 1
    assert its_outline.headings.count(1) == 1
    steps = zip(its_outline.headings, its_outline.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)
    assert len(its_outline.ids) == len(set(its_outline.ids))


def test_every_link_of_the_contents_leads_somewhere(its_outline: _Outline) -> None:
    assert its_outline.links
    assert {link.removeprefix("#") for link in its_outline.links} <= set(its_outline.ids)


def test_table_heads_are_scoped_and_every_figure_says_what_it_shows(
    its_outline: _Outline, a_full_study: StudyResult, its_drawings: dict[str, Drawing]
) -> None:
    assert its_outline.heads_without_scope == 0
    assert None not in its_outline.drawings
    assert set(its_outline.drawings) <= set(its_outline.ids)
    assert all(len(drawing.alt) > 40 for drawing in its_drawings.values())
    external = [m.external.auc.value for m in a_full_study.models["strict"] if m.external]
    assert f"{max(external):.3f}" in its_drawings["roc"].alt


def test_the_page_shows_every_figure_that_can_be_drawn(its_outline: _Outline) -> None:
    assert len(its_outline.drawings) == 10


def test_the_figures_of_the_values_stand_in_the_page(
    a_full_page: str, a_full_study: StudyResult
) -> None:
    for model in a_full_study.models["strict"]:
        assert model.external is not None
        assert f"{model.cross_validated.auc.value:.3f}" in a_full_page
        assert f"{model.external.auc.value:.3f}" in a_full_page
        share = f"{100 * model.external.sensitivity.value:.1f}\N{NO-BREAK SPACE}%"
        assert share in a_full_page


def test_every_page_of_a_simulated_study_says_so_and_no_other(a_full_page: str) -> None:
    banner = words("sentences")["headline"]["simulated"]
    assert banner in a_full_page
    assert "position: fixed" in a_full_page
    assert banner not in _page(a_study(names=("CM",), extras=False, simulated=False))


def test_a_title_from_outside_cannot_put_markup_into_the_page() -> None:
    result = replace(a_study(names=("CM",), extras=False), title="<script>alert(1)</script> $x_1$")
    page = _page(result)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_missing_part_is_a_sentence_and_not_an_empty_box() -> None:
    bare = a_study(names=("Rad",), modes=("strict",), external=False, readers=False, extras=False)
    page = _page(replace(bare, flow=(), manifest={}, comparisons=(), curves=()))
    absent = words("sentences")["absent"]
    for part in ("external", "readers", "gap", "table1", "stability", "subgroups", "flowchart",
                 "learning", "importance", "delong", "decision", "manifest", "cost"):  # fmt: skip
        sentence = absent[part].replace("`", "`")
        assert sentence.split("(")[0].split("'")[0] in page, part
    assert "<tbody>\n</tbody>" not in page


def test_a_study_without_any_model_still_has_a_report(an_empty_study: StudyResult) -> None:
    page = _page(an_empty_study)
    assert words("sentences")["headline"]["nothing"].split("'")[0] in page
    assert words("sentences")["absent"]["auc"] in page


def test_no_table_of_the_study_is_ever_left_out() -> None:
    odd = Table("standardisation", "Two standardisations", ("model", "AUC"), (("Rad", "0.7"),))
    result = a_study(names=("CM",), extras=False)
    sections = compose(View(replace(result, tables=(odd,))), {})
    shown = [block.table for s in sections for block in s.blocks if hasattr(block, "table")]
    assert odd in shown


def test_paper_mode_alone_is_shown_with_its_warning() -> None:
    result = a_study(names=SMALL, modes=("paper",), extras=False, readers=False)
    view = View(result)
    assert view.mode == "paper"
    page = _page(result)
    assert "biased upward" in page
    assert words("sentences")["absent"]["gap"].split("`")[0] in page


def test_figures_are_the_same_bytes_each_time() -> None:
    view = View(a_study(names=("CM",), external=False, readers=False))
    first, second = draw_all(view), draw_all(view)
    assert len(first) == 9
    assert first == second
    assert all("<dc:date>" not in drawing.svg for drawing in first.values())


def test_a_figure_inside_the_page_keeps_its_ids_to_itself(its_drawings: dict[str, Drawing]) -> None:
    ids = [set(re.findall(r'\bid="([^"]+)"', inline(d))) for d in its_drawings.values()]
    assert sum(map(len, ids)) == len(set().union(*ids))
    for drawing in its_drawings.values():
        shown = inline(drawing)
        used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", shown))
        assert used <= set(re.findall(r'\bid="([^"]+)"', shown))
        assert "@font-face" in standalone(drawing)


def test_everything_is_written_and_the_files_are_named(tmp_path: Path) -> None:
    result = a_study(names=("CM",), external=False, readers=False)
    written = write_report(result, tmp_path / "out")
    names = {str(path.relative_to(tmp_path / "out")) for path in written}
    assert {"report.html", "report.pdf", "figures/roc.svg", "figures/roc.png"} <= names
    assert "tables/table1.csv" in names
    assert "tables/cost.csv" not in names  # differs from run to run
    assert all(path.stat().st_size for path in written)
    assert (tmp_path / "out/report.pdf").read_bytes().startswith(b"%PDF-")


def test_the_pdf_is_the_same_bytes_each_time_and_has_no_date() -> None:
    style = font_css() + "@page { size: A5 } body { font-family: 'Source Sans Pro' }"
    page = f"<style>{style}</style><h1>One page</h1><svg viewBox='0 0 9 9'></svg>"
    first = render_pdf(page)
    time.sleep(1.1)  # the letters carry a date in seconds, if any
    assert first == render_pdf(page)
    assert b"/CreationDate" not in first


def test_without_pango_the_html_is_there_and_the_error_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, an_empty_study: StudyResult
) -> None:
    def no_pango(name: str) -> object:
        raise OSError(f"cannot load library for {name}")

    monkeypatch.setattr(pdf_module, "import_module", no_pango)
    with pytest.raises(PdfError, match="libpango") as raised:
        write_report(an_empty_study, tmp_path)
    assert "\n" not in str(raised.value)
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "tables").is_dir()
    assert not (tmp_path / "report.pdf").exists()


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, an_empty_study: StudyResult
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReportError, match="file"):
        write_report(an_empty_study, tmp_path / "file")
