"""The report's small parts: numbers, alignment, labels, checklists, derived tables."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.study.report.blocks import Grid
from models.study.report.checklist import Item, checklists
from models.study.report.composing import Composer
from models.study.report.derived import csv_tables, delong_matrix, errors_table
from models.study.report.errors import ReportError
from models.study.report.figures.style import spread
from models.study.report.headline import headlines
from models.study.report.numbers import decimal, p_value, signed
from models.study.report.view import View
from models.study.report.wording import words
from models.study.results import Table
from models.study.tables_csv import csv_bytes
from tests.study_fixtures import a_study

SMALL = ("CM", "Rad", "PreClinicRad")


@pytest.fixture(scope="module")
def a_small_view() -> View:
    return View(a_study(names=SMALL, extras=False))


@pytest.mark.parametrize(
    ("value", "written"), [(-0.0004, "0.000"), (-0.123, "\u22120.123"), (math.nan, "\u2013")]
)
def test_a_number_has_a_true_minus_and_is_never_minus_zero(value: float, written: str) -> None:
    assert decimal(value) == written


def test_a_difference_carries_its_sign_unless_it_is_zero() -> None:
    assert [signed(x) for x in (0.05, -0.05, 0.0001)] == ["+0.050", "\u22120.050", "0.000"]


def test_a_small_p_value_is_never_zero() -> None:
    assert p_value(1e-9) == "<0.001"
    assert p_value(0.0496) == "0.050"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_spread_labels_never_overlap_and_keep_their_order(heights: list[float]) -> None:
    moved = spread(heights, 0.05)
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    steps = [moved[b] - moved[a] for a, b in pairwise(order)]
    assert all(step >= 0.05 - 1e-9 for step in steps)


def test_decimal_points_of_a_column_stand_below_each_other() -> None:
    table = Table("t", "t", ("name", "value"), (("a", "1.25"), ("b", "10"), ("c", "3.5")))
    grid = Grid(table, 1)
    assert grid.numeric == (False, True)
    assert [row[1] for row in grid.cells] == ["1.25", "10\u2008\u2007\u2007", "3.5\u2007"]


def test_a_column_of_words_is_not_set_as_numbers() -> None:
    table = Table("t", "t", ("name", "what"), (("a", "yes"), ("b", "2 of 3"), ("c", "no")))
    assert Grid(table, 1).numeric == (False, False)


def test_every_published_item_of_the_checklists_is_there_once() -> None:
    numbers = {found.key: [item.number for item in found.items] for found in checklists()}
    assert numbers["claim"] == [str(i) for i in range(1, 45)]
    assert numbers["metrics"] == [str(i) for i in range(1, 31)]
    tripod = numbers["tripod_ai"]
    assert len(tripod) == len(set(tripod)) == 52
    assert {n.rstrip("abcdefg") for n in tripod} == {str(i) for i in range(1, 28)}


def test_checklists_point_at_sections_that_exist_and_facts_that_can_hold() -> None:
    headings = words("sentences")["heading"]
    facts = View(a_study(names=SMALL)).facts | {
        "subgroups", "subgroups_site", "stability", "regression", "exclusions", "intermediates",
        "harmonisation",
    }  # fmt: skip
    for found in checklists():
        for item in found.items:
            assert set(item.sections) <= set(headings), item
            assert item.needs <= facts, item


def test_an_item_that_the_study_lacks_is_not_claimed() -> None:
    claim = next(found for found in checklists() if found.key == "claim")
    external = next(item for item in claim.items if item.number == "33")
    numbers = {"discrimination": ("4", "Discrimination")}
    assert external.answer(frozenset({"external"}), numbers) == "4 Discrimination"
    assert external.answer(frozenset({"models"}), numbers) == "Not done in this study"


def test_the_delong_matrix_has_the_sign_of_row_less_column(a_small_view: View) -> None:
    matrix = delong_matrix(a_small_view)
    assert matrix is not None
    areas = {m.name: m.cross_validated.auc.value for m in a_small_view.models}
    below = matrix.rows[1][1].split("\n")[0]
    assert below == signed(areas["Rad"] - areas["CM"])
    outside = {m.name: m.external.auc.value for m in a_small_view.models if m.external}
    assert matrix.rows[0][2].split("\n")[0] == signed(outside["CM"] - outside["Rad"])
    assert matrix.rows[0][1] == ""


def test_every_case_called_wrongly_is_named_once_misses_first(a_small_view: View) -> None:
    model = a_small_view.models[0]
    table, found = errors_table(model, "external"), model.external
    assert table is not None
    assert found is not None
    wrong = {
        name
        for name, score, label in zip(found.ids, found.scores, found.labels, strict=True)
        if (score >= found.threshold) != bool(label)
    }
    assert [row[0] for row in table.rows] == list(dict.fromkeys(row[0] for row in table.rows))
    assert {row[0] for row in table.rows} == wrong
    kinds = [row[1] for row in table.rows]
    assert kinds == sorted(kinds, reverse=True)


def test_without_the_papers_model_the_best_cross_validated_one_is_the_headline(
    a_small_view: View,
) -> None:
    primary = a_small_view.primary
    assert primary is not None
    assert primary.cross_validated.auc.value == max(
        model.cross_validated.auc.value for model in a_small_view.models
    )


def test_there_are_three_headline_numbers_with_and_without_a_clinical_model() -> None:
    for names in (SMALL, ("Rad",)):
        assert len(headlines(View(a_study(names=names, extras=False)))) == 3


def test_a_table_of_the_study_wins_over_a_derived_one_of_the_same_name() -> None:
    result = a_study(names=("CM",))
    own = Table("calibration", "own", ("a",), (("1",),))
    tables = csv_tables(View(replace(result, tables=(*result.tables, own))))
    assert [table.title for table in tables if table.name == "calibration"] == ["own"]


def test_a_csv_file_quotes_what_needs_it() -> None:
    written = csv_bytes(Table("t", "t", ("a", "b"), (('x "y"', "1, 2"),)))
    assert written == b'a,b\r\n"x ""y""","1, 2"\r\n'


def test_a_checklist_item_without_text_is_refused() -> None:
    with pytest.raises(ReportError):
        Item("1", "")


def test_a_table_too_long_for_a_page_says_where_the_rest_is() -> None:
    rows = tuple((f"feature{i}", "0.9") for i in range(1000))
    block = Composer(View(a_study(names=("CM",))), {}).grid(Table("icc", "t", ("a", "b"), rows))
    assert len(block.table.rows) == 60
    assert "60 of 1000 rows" in block.table.note
    assert "tables/icc.csv" in block.table.note
