"""The reader study's table, its tests, and what the model changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from models.features.clinical import CLINICAL_NAMES
from models.fusion.table import FeatureTable
from models.study.readers import (
    ReaderCalls,
    ReadersError,
    changes,
    read_calls,
    reader_points,
    readers_table,
    reclassification_table,
)
from models.study.statistics.performance import performance
from models.study.subgroups import clinical_groups, subgroup_table

LABELS = {f"E{number:02d}": int(number % 5 < 2) for number in range(40)}
Row = tuple[str, str, str, str, str]


def some_rows(seed: int = 0) -> list[Row]:
    """Two readers with doubts; with the model they err less."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for reader, doubt in (("Radiologist A", 0.8), ("Radiologist B", 1.3)):
        for case, label in LABELS.items():
            for aided in (0, 1):
                suspicion = label + rng.normal(0, doubt - 0.4 * aided)
                call = str(int(suspicion > 0.5))
                rows.append((reader, case, str(aided), call, f"{suspicion:.3f}"))
    return rows


def a_file(folder: Path, rows: list[Row], header: str = "reader,id,aided,call,confidence") -> Path:
    path = folder / "readers.csv"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


@pytest.fixture
def rows() -> list[Row]:
    return some_rows()


def test_table_4_counts_what_the_readers_called(tmp_path: Path, rows: list[Row]) -> None:
    found = readers_table(read_calls(a_file(tmp_path, rows), LABELS))
    assert [row[:2] for row in found.rows] == [
        ("Radiologist A", "alone"),
        ("", "with the model"),
        ("Radiologist B", "alone"),
        ("", "with the model"),
    ]
    own = [row for row in rows if row[0] == "Radiologist B" and row[2] == "1"]
    hits = sum(LABELS[row[1]] == 1 and row[3] == "1" for row in own)
    low, high = proportion_confint(hits, 16, method="wilson")
    expected = f"{100 * hits / 16:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    assert found.rows[3][found.columns.index("Sensitivity (95 % CI)")] == expected


def test_points_on_the_roc_come_alone_and_then_aided(tmp_path: Path, rows: list[Row]) -> None:
    points = reader_points(read_calls(a_file(tmp_path, rows), LABELS))
    assert [(point.reader, point.aided) for point in points] == [
        ("Radiologist A", False),
        ("Radiologist A", True),
        ("Radiologist B", False),
        ("Radiologist B", True),
    ]
    assert all(point.sensitivity.denominator == 16 for point in points)
    assert all(point.specificity.denominator == 24 for point in points)


def test_mcnemar_pairs_each_case_with_itself(tmp_path: Path, rows: list[Row]) -> None:
    one = read_calls(a_file(tmp_path, rows), LABELS)[1]
    right = [one.alone == (one.labels == 1), one.aided == (one.labels == 1)]
    table = [[int(((right[0] == a) & (right[1] == b)).sum()) for b in (1, 0)] for a in (1, 0)]
    found = changes(one, np.ones(40, dtype=bool))
    assert (found.lost, found.gained) == (table[0][1], table[1][0])
    assert found.p_exact == pytest.approx(mcnemar(table, exact=True).pvalue)
    printed = readers_table([one])
    cell = printed.rows[1][printed.columns.index("p accuracy")]
    assert cell == f"{found.p_exact:.3f}"


def test_reclassification_says_which_calls_changed_and_for_the_better(tmp_path: Path) -> None:
    labels = {"a": 1, "b": 1, "c": 1, "d": 0, "e": 0}
    alone, aided = "10001", "11010"
    rows = [
        ("A", case, mode, call, "")
        for mode, calls in (("0", alone), ("1", aided))
        for case, call in zip(labels, calls, strict=True)
    ]
    (one,) = read_calls(a_file(tmp_path, rows), labels)
    found = reclassification_table([one])
    by_class = {row[1]: row for row in found.rows}
    #                              lesions, raised, lowered, right, wrong
    assert by_class["malignant"][2:7] == ("3", "1", "0", "1", "0")
    assert by_class["benign"][2:7] == ("2", "1", "1", "1", "1")
    assert by_class["all"][2:7] == ("5", "2", "1", "2", "1")
    assert by_class["all"][7].startswith("+20.0 %")


def test_the_interval_of_a_net_gain_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    labels = np.ones(40, dtype=np.int64)
    covered = 0
    for _ in range(600):
        alone, aided = rng.random(40) < 0.7, rng.random(40) < 0.8
        found = changes(_reader(labels, alone, aided), np.ones(40, dtype=bool))
        covered += found.interval[0] <= 0.1 <= found.interval[1]
    assert 0.92 <= covered / 600 <= 0.98


def _reader(labels: np.ndarray, alone: np.ndarray, aided: np.ndarray) -> ReaderCalls:
    return ReaderCalls("A", tuple(map(str, range(len(labels)))), labels, alone, aided)


def test_a_reader_whom_the_model_never_moves_gains_nothing(tmp_path: Path) -> None:
    rows = [row for row in some_rows() if row[2] == "0"]
    rows += [(reader, case, "1", call, conf) for reader, case, _, call, conf in rows]
    found = reclassification_table(read_calls(a_file(tmp_path, rows), LABELS))
    assert all(row[3:7] == ("0", "0", "0", "0") for row in found.rows)
    assert all(row[8] == "1.000 (1.000)" for row in found.rows)


def test_confidence_gives_the_readers_areas(tmp_path: Path, rows: list[Row]) -> None:
    calls = read_calls(a_file(tmp_path, rows), LABELS)
    expected = roc_auc_score(calls[0].labels, calls[0].confidence_alone)
    assert f"Radiologist A alone {expected:.3f} (" in readers_table(calls).note
    silent = [(*row[:4], "") for row in rows]
    assert "Areas" not in readers_table(read_calls(a_file(tmp_path, silent), LABELS)).note


def test_the_model_stands_beside_the_readers(tmp_path: Path, rows: list[Row]) -> None:
    labels = np.array(list(LABELS.values()), dtype=np.int64)
    scores = np.clip(0.3 + 0.3 * labels + np.random.default_rng(0).normal(0, 0.2, 40), 0.01, 0.99)
    model = performance(tuple(LABELS), scores, labels, 0.5, tuple(LABELS), 1)
    found = readers_table(read_calls(a_file(tmp_path, rows), LABELS), model)
    assert found.rows[-1][0] == "Model"
    assert found.rows[-1][3].startswith(f"{100 * model.sensitivity.value:.1f} %")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("A", "E99", "0", "1", ""), "line 162: case 'E99' is not in the external cohort"),
        (("A", "E00", "0", "2", ""), "line 162: call is '2', not 0 or 1"),
        (("A", "E00", "", "1", ""), "line 162: aided is '', not 0 or 1"),
        (("", "E00", "0", "1", ""), "line 162: no reader is named"),
        (("A", "E00", "0", "1", "high"), "confidence is 'high', no number"),
        (("A", "E00", "0", "1", "nan"), "confidence is 'nan', no finite number"),
        (("A", "E00", "0", "1", ""), "reader 'A' has no aided call of case 'E00'"),
        (("Radiologist A", "E00", "0", "1", ""), "called case 'E00' unaided twice"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    tmp_path: Path, rows: list[Row], row: Row, message: str
) -> None:
    with pytest.raises(ReadersError, match=message):
        read_calls(a_file(tmp_path, [*rows, row]), LABELS)


def test_a_file_without_a_column_or_a_call_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadersError, match="no column 'call'"):
        read_calls(a_file(tmp_path, [], "reader,id,aided"), LABELS)
    with pytest.raises(ReadersError, match="holds no call"):
        read_calls(a_file(tmp_path, []), LABELS)
    with pytest.raises(ReadersError, match="cannot be read"):
        read_calls(tmp_path / "elsewhere.csv", LABELS)


def test_a_reader_of_one_class_cannot_be_judged(tmp_path: Path, rows: list[Row]) -> None:
    benign = [row for row in rows if LABELS[row[1]] == 0]
    with pytest.raises(ReadersError, match="one class only"):
        read_calls(a_file(tmp_path, benign), LABELS)


def test_subgroups_with_few_lesions_of_a_class_have_no_area() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 1] * 20, dtype=np.int64)
    ids = tuple(f"T{number}" for number in range(40))
    scores = np.clip(0.4 + 0.2 * labels + rng.normal(0, 0.15, 40), 0, 1)
    vendor = {case: "A" if number < 32 else "B" for number, case in enumerate(ids)}
    found = subgroup_table(
        {"training": performance(ids, scores, labels, 0.5, ids, 1)},
        {"training": {"vendor": vendor, "site": dict.fromkeys(ids, "")}},
        "CRDL",
    )
    assert [row[:5] for row in found.rows] == [
        ("Training", "Vendor", "A", "32", "16"),
        ("Training", "Vendor", "B", "8", "4"),
    ]
    area = roc_auc_score(labels[:32], scores[:32])
    assert found.rows[0][5].startswith(f"{area:.3f} (")
    assert found.rows[1][5] == "too few"
    assert found.rows[1][6] != "too few"


def test_age_sex_and_size_groups_come_from_the_clinical_columns() -> None:
    values = np.full((3, len(CLINICAL_NAMES)), np.nan)
    values[:, :3] = [[49.9, 0, 50], [50, 1, 49], [np.nan, np.nan, np.nan]]
    table = FeatureTable(
        ("a", "b", "c"), ("a", "b", "c"), np.array([0, 1, 0]), CLINICAL_NAMES, values
    )
    assert clinical_groups(table) == {
        "sex": {"a": "F", "b": "M", "c": ""},
        "age": {"a": "below 50 years", "b": "50 years or more", "c": ""},
        "size": {"a": "50 mm or more", "b": "below 50 mm", "c": ""},
    }
