"""Performance in subgroups: site, vendor, sex, age and size, each with its interval or too few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.study.features import MeasuredCase
from models.study.results import Estimate, Share
from models.study.statistics.delong import auc_with_interval
from models.study.statistics.operating import wilson

FEWEST_OF_A_CLASS = 5
OLDER_YEARS = 50
LARGER_MM = 50
"""The paper's masses are deep and large; 50 mm is the size that guidelines refer at (5 cm)."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One model in one subgroup of one cohort.

    Attributes:
        cohort: `training` (out-of-fold scores) or `external`.
        group: Such as `vendor`.
        value: Such as `A`.
        cases: With a score.
        malignant: Of these.
        auc: None where a class has fewer than five cases.
        sensitivity: At the training threshold; None without malignant cases.
        specificity: Likewise; None without benign cases.
    """

    cohort: str
    group: str
    value: str
    cases: int
    malignant: int
    auc: Estimate | None
    sensitivity: Share | None
    specificity: Share | None


def strata_of(rows: Sequence[MeasuredCase]) -> dict[str, tuple[str, ...]]:
    """Return each case's value in each group, "" where it is not known."""
    return {
        "site": tuple(row.case.site for row in rows),
        "vendor": tuple(row.case.vendor for row in rows),
        "sex": tuple("" if row.clinical.sex == "unknown" else row.clinical.sex for row in rows),
        "age": tuple(age_group(row.clinical.age_years) for row in rows),
        "size": tuple(size_group(row.measurements.maximum_diameter) for row in rows),
    }


def performance_by_stratum(
    cohort: str,
    groups: Mapping[str, Sequence[str]],
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    called: NDArray[np.bool_],
) -> tuple[Stratum, ...]:
    """Judge one model in every subgroup.

    Args:
        cohort: As the rows name it.
        groups: The value of each case, by group; cases with "" are left out of that group.
        labels: (cases,) 1 malignant.
        scores: (cases,) probabilities, NaN where the model could not answer.
        called: (cases,) whether the case was called malignant at its model's threshold.
    """
    known = np.isfinite(scores)
    found = []
    for group, values in groups.items():
        column = np.array(values)
        for value in sorted(set(values) - {""}):
            own = known & (column == value)
            if own.any():
                found.append(_stratum(cohort, group, value, labels[own], scores[own], called[own]))
    return tuple(found)


def _stratum(
    cohort: str,
    group: str,
    value: str,
    labels: NDArray[np.int64],
    scores: NDArray[np.float64],
    called: NDArray[np.bool_],
) -> Stratum:
    malignant = labels == 1
    positives, negatives = int(malignant.sum()), int((~malignant).sum())
    enough = min(positives, negatives) >= FEWEST_OF_A_CLASS
    return Stratum(
        cohort=cohort,
        group=group,
        value=value,
        cases=len(labels),
        malignant=positives,
        auc=auc_with_interval(scores, labels) if enough else None,
        sensitivity=wilson(int((called & malignant).sum()), positives) if positives else None,
        specificity=wilson(int((~called & ~malignant).sum()), negatives) if negatives else None,
    )


def age_group(years: float | None) -> str:
    """Return the side of the cut that an age lies on; "" where it is not known."""
    if years is None:
        return ""
    return f"{OLDER_YEARS} years or more" if years >= OLDER_YEARS else f"below {OLDER_YEARS} years"


def size_group(millimetres: float) -> str:
    """Return the side of the cut that a diameter lies on."""
    return f"{LARGER_MM} mm or more" if millimetres >= LARGER_MM else f"below {LARGER_MM} mm"
