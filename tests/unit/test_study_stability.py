"""Which features survive another contour."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.fusion.errors import TableError
from models.fusion.table import FeatureTable
from models.study.agreement import agreement_by_family
from models.study.stability import (
    icc_by_feature,
    kappa_by_feature,
    stability_features,
    stability_table,
    unstable,
)
from models.study.statistics.agreement import icc_a1, icc_with_interval

NAMES = (
    "clinical_size",
    "clinical_echo",
    "original_firm",
    "original_loose",
    "dl_000",
    "clinical_age",
)


def measured(spread: float, seed: int = 1, cases: int = 50) -> FeatureTable:
    """The same lesions, contoured again: every look adds its own noise, most to one feature."""
    truth = np.random.default_rng(0).normal(size=(cases, len(NAMES)))
    noise = np.random.default_rng(seed).normal(size=truth.shape)
    values = truth + spread * noise * [1, 0.3, 1, 12, 1, 0]
    values[:, 1] = values[:, 1] > 0
    ids = tuple(f"C{number:02d}" for number in range(cases))
    return FeatureTable(ids, ids, (np.arange(cases) % 2).astype(np.int64), NAMES, values)


@pytest.fixture
def two_looks() -> tuple[FeatureTable, FeatureTable]:
    return measured(0.1, 1), measured(0.1, 2)


def test_the_loose_feature_is_unstable(two_looks: tuple[FeatureTable, FeatureTable]) -> None:
    assert unstable(*two_looks, NAMES[2:5]) == ("original_loose",)
    assert unstable(*two_looks, NAMES[2:5], least=0.9999) == NAMES[2:5]


def test_cases_are_matched_by_id_and_not_by_row(
    two_looks: tuple[FeatureTable, FeatureTable],
) -> None:
    first, second = two_looks
    order = np.random.default_rng(3).permutation(len(second.ids))[:30]
    mixed = FeatureTable(
        tuple(second.ids[i] for i in order),
        tuple(second.patients[i] for i in order),
        second.labels[order],
        second.names,
        second.values[order],
    )
    rows = np.sort(order)
    expected = icc_a1(np.stack([first.values[rows], second.values[rows]], axis=1))
    assert_allclose(list(icc_by_feature(first, mixed, NAMES).values()), expected)


def test_what_cannot_be_judged_is_unstable(two_looks: tuple[FeatureTable, FeatureTable]) -> None:
    first, second = two_looks
    values = second.values.copy()
    values[0, 2] = np.nan
    gap = FeatureTable(second.ids, second.patients, second.labels, second.names, values)
    assert "original_firm" in unstable(first, gap, NAMES[2:5])


def test_one_common_lesion_is_too_few(two_looks: tuple[FeatureTable, FeatureTable]) -> None:
    first, second = two_looks
    alone = second.rows(np.arange(len(second.ids)) == 4)
    with pytest.raises(TableError, match="two lesions or more"):
        unstable(first, alone, NAMES)


def test_the_table_gives_families_features_and_readers(
    two_looks: tuple[FeatureTable, FeatureTable],
) -> None:
    first, second = two_looks
    reads = {case: {"morphology": "regular" if i % 3 else "irregular"} for i, case in
             enumerate(first.ids)}  # fmt: skip
    found = stability_table({"two contours": (first, second)}, (reads, reads))
    rows = {row[0]: row for row in found.rows}
    assert set(rows) == {
        "Maximum diameter, mm",
        "Internal echo",
        "Radiomics features",
        "Deep features",
        "Morphology",
    }
    assert rows["Radiomics features"][2:4] == ("50", "2")
    assert rows["Radiomics features"][5] == "1 (50.0 %)"
    assert rows["Maximum diameter, mm"][4].startswith("ICC 0.9")
    assert rows["Internal echo"][4].startswith("kappa ")
    assert rows["Morphology"][4].startswith("kappa 1.000")
    assert rows["Morphology"][5] == "yes"


def test_the_printed_icc_is_the_vectorised_one(
    two_looks: tuple[FeatureTable, FeatureTable],
) -> None:
    ratings = np.stack([table.values[:, 0] for table in two_looks], axis=1)
    found = icc_with_interval(ratings)
    assert_allclose(found.value, icc_a1(ratings[:, :, None])[0], atol=1e-9)
    assert found.interval is not None
    assert found.interval[0] <= found.value <= found.interval[1] + 0.005  # pingouin rounds to 0.01


def test_every_image_feature_has_a_row_and_the_least_stable_the_first(
    two_looks: tuple[FeatureTable, FeatureTable],
) -> None:
    found = stability_features({"two readers": two_looks})
    assert {row[1] for row in found.rows} == {"original_firm", "original_loose", "dl_000"}
    assert found.columns[2:] == ("ICC(A,1), two readers", "Above 0.80")
    assert found.rows[0][1::2] == ("original_loose", "no")
    icc = [float(row[2]) for row in found.rows]
    assert icc == sorted(icc)


def test_a_feature_is_stable_where_every_look_again_agrees(
    two_looks: tuple[FeatureTable, FeatureTable],
) -> None:
    first, second = two_looks
    found = stability_features({"two readers": (first, second), "one reader": (first, first)})
    told = {row[1]: row[2:] for row in found.rows}
    assert told["original_loose"][1:] == ("1.0000", "no")
    assert told["original_firm"][1:] == ("1.0000", "yes")


def test_classes_that_one_reader_left_out_are_not_counted() -> None:
    first = {"a": {"morphology": "regular"}, "b": {"morphology": "irregular"}, "c": {}}
    second = {"a": {"morphology": "regular"}, "b": {"morphology": None}, "d": {}}
    assert kappa_by_feature(first, second)["morphology"][1] == 1


def test_a_model_card_shows_the_same_agreement(
    two_looks: tuple[FeatureTable, FeatureTable],
) -> None:
    found = agreement_by_family(two_looks)["radiomics"]
    icc = icc_by_feature(*two_looks, NAMES[2:4])
    assert found.features == 2
    assert found.median == pytest.approx(np.median(list(icc.values())))
    assert found.stable == 0.5
