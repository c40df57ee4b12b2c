"""What the report says is wrong in the paper is arithmetic, repeated here."""

from __future__ import annotations

import math

import pytest

from models.study.report.wording import words


def _rounds_to(percent: float, total: int) -> set[int]:
    return {hits for hits in range(total + 1) if round(100 * hits / total, 1) == percent}


def _splits(n: int, sensitivity: float, specificity: float, accuracy: float | None) -> list[int]:
    found = []
    for malignant in range(1, n):
        hits, right = _rounds_to(sensitivity, malignant), _rounds_to(specificity, n - malignant)
        if any(
            accuracy is None or round(100 * (hit + good) / n, 1) == accuracy
            for hit in hits
            for good in right
        ):
            found.append(malignant)
    return found


def test_the_search_for_splits_finds_one_where_there_is_one() -> None:
    assert 30 in _splits(78, 90.0, 75.0, round(100 * (27 + 36) / 78, 1))


def test_no_split_of_78_patients_gives_the_printed_external_figures() -> None:
    assert _splits(78, 83.6, 89.3, None) == []


@pytest.mark.parametrize("n", [78, 516, 594])
def test_no_split_of_any_cohort_gives_the_figures_of_the_discussion(n: int) -> None:
    assert _splits(n, 85.6, 90.3, 86.5) == []


def _standard_error(area: float, malignant: int, benign: int) -> float:
    """Hanley & McNeil 1982."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area) + (malignant - 1) * (q1 - area**2) + (benign - 1) * (q2 - area**2)
    ) / (malignant * benign)
    return math.sqrt(variance)


def test_the_printed_training_interval_is_too_narrow_for_any_split_of_516() -> None:
    best = min(
        range(1, 516), key=lambda malignant: _standard_error(0.911, malignant, 516 - malignant)
    )
    half = 1.96 * _standard_error(0.911, best, 516 - best)
    assert best == 364
    assert (round(0.911 - half, 3), round(0.911 + half, 3)) == (0.887, 0.935)
    assert (2 * half / (0.928 - 0.894)) ** 2 == pytest.approx(2, abs=0.05)


def test_851_features_are_107_and_eight_bands_of_93() -> None:
    assert 107 + 8 * 93 == 851
    assert 4 * 93 == 372
    assert 851 - 372 == 479


def test_every_claim_has_what_is_printed_and_why_it_cannot_hold() -> None:
    claims = words("paper")["claim"]
    assert len(claims) >= 5
    assert all(claim["printed"] and claim["why"] for claim in claims)
