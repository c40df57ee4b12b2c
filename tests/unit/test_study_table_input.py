"""A table of features becomes a study, or one line says which row or column to mend."""

from pathlib import Path

import numpy as np
import pytest

from models.study.material import StudyInputError
from models.study.table_input import read_tables
from tests.study_tables import write_table

ROWS = 30


@pytest.fixture
def a_table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "table.csv", ROWS)


def edited(path: Path, **changes: dict[int, object]) -> Path:
    """Write the table again with cells of a column changed by row number."""
    return write_table(path, ROWS, changes)


def test_columns_fall_into_their_families_by_name(a_table: Path) -> None:
    table = read_tables(a_table).training.table
    assert [name for name in table.names if name.startswith("clinical_")] == ["clinical_age"]
    assert table.values.shape == (ROWS, 5)
    assert table.labels.sum() == ROWS // 2


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("label", {3: "2"}, "label is '2', not 0 or 1"),
        ("id", {3: "C000"}, "the id 'C000' is there twice"),
        ("id", {3: ""}, "row 5 has no id"),
        ("cohort", {3: "test"}, "cohort is 'test', not training or external"),
        ("patient", {0: "P", 29: "P"}, "patient 'P' is in the training and in the external"),
        ("glcm", {3: "high"}, "case 'C003': glcm is 'high', not a number"),
    ],
)
def test_a_wrong_cell_is_named(
    a_table: Path, column: str, cells: dict[int, object], message: str
) -> None:
    changes = {column: cells}
    if column == "patient":
        changes["cohort"] = {29: "external"}
    with pytest.raises(StudyInputError, match=message):
        read_tables(edited(a_table, **changes))


@pytest.mark.parametrize("column", ["id", "label"])
def test_a_missing_column_is_named(a_table: Path, column: str) -> None:
    text = a_table.read_text()
    a_table.write_text(text.replace(column, f"other_{column}", 1))
    with pytest.raises(StudyInputError, match=f"has no column '{column}'"):
        read_tables(a_table)


def test_a_table_without_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("id,label\na,0\nb,1\n")
    with pytest.raises(StudyInputError, match="no feature column"):
        read_tables(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyInputError, match=r"gone\.csv cannot be read"):
        read_tables(tmp_path / "gone.csv")


def test_the_external_table_must_have_every_column(a_table: Path, tmp_path: Path) -> None:
    other = write_table(tmp_path / "external.csv", 10, prefix="X", without=("glcm",))
    with pytest.raises(StudyInputError, match="lacks 1 columns, such as 'glcm'"):
        read_tables(a_table, other)


def test_a_row_without_a_label_is_counted_and_left_out(a_table: Path) -> None:
    material = read_tables(edited(a_table, label={4: "", 5: "NA"}))
    assert len(material.training.table.ids) == ROWS - 2
    assert material.flow[1].excluded == {"no label": ("C004", "C005")}
    assert sum(material.flow[1].remaining.values()) == ROWS - 2


def test_a_row_that_was_never_measured_does_not_cost_the_others_their_columns(
    a_table: Path,
) -> None:
    material = read_tables(edited(a_table, glcm={4: ""}, glrlm={4: "inf"}))
    assert material.flow[2].excluded == {"no radiomics features": ("C004",)}
    assert {"glcm", "glrlm"} <= set(material.training.table.names)


def test_constant_and_gappy_image_columns_are_dropped_by_name(a_table: Path) -> None:
    material = read_tables(edited(a_table, glcm={4: ""}, dl_000=dict.fromkeys(range(ROWS), 7)))
    gone = {name for names in material.dropped.values() for name in names}
    assert {"glcm", "dl_000"} <= gone
    assert not gone & set(material.training.table.names)


def test_a_clinical_gap_stays_a_gap(a_table: Path) -> None:
    table = read_tables(edited(a_table, clinical_age={4: ""})).training.table
    assert np.isnan(table.columns(("clinical_age",))[4, 0])


def test_row_numbers_and_diagnostics_are_no_features(tmp_path: Path) -> None:
    path = write_table(tmp_path / "table.csv", ROWS, {"diagnostics_Version": {0: "v3"}})
    material = read_tables(path)
    assert material.dropped["row numbers and diagnostics_* texts, no features"] == (
        "diagnostics_Version",
    )


def test_excluded_rows_are_counted_under_the_papers_criteria(a_table: Path) -> None:
    material = read_tables(edited(a_table, exclusion={1: "exclusion_c", 2: "lost to follow-up"}))
    assert [len(ids) for ids in material.flow[1].excluded.values()] == [1, 1]
    assert "neoadjuvant therapy before (exclusion c)" in material.flow[1].excluded
    assert len(material.training.table.ids) == ROWS - 2
