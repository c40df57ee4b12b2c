"""Agreement between two readers' contours: ICC(A,1) of every feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.fusion.table import FAMILIES, Family, FeatureTable, family_of

STABLE = 0.80
"""Above this the paper calls a feature stable (section 2.8)."""


@dataclass(frozen=True, slots=True)
class FamilyAgreement:
    """How well the features of one family survive another contour.

    Attributes:
        features: How many could be judged.
        median: Of their ICC(A,1).
        stable: Share above 0.80.
    """

    features: int
    median: float
    stable: float


def icc_a1(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two-way random, absolute-agreement, single-rater intraclass correlation.

    McGraw & Wong (1996) ICC(A,1), Shrout & Fleiss (1979) ICC(2,1).

    Args:
        ratings: (cases, raters, features), at least two cases and two raters.

    Returns:
        (features,); NaN where a feature does not vary at all.
    """
    cases, raters, _ = ratings.shape
    grand = ratings.mean(axis=(0, 1))
    by_case, by_rater = ratings.mean(axis=1), ratings.mean(axis=0)
    between_cases = raters * np.square(by_case - grand).sum(axis=0) / (cases - 1)
    between_raters = cases * np.square(by_rater - grand).sum(axis=0) / (raters - 1)
    residual = ratings - by_case[:, None] - by_rater[None] + grand
    error = np.square(residual).sum(axis=(0, 1)) / ((cases - 1) * (raters - 1))
    total = between_cases + (raters - 1) * error + raters * (between_raters - error) / cases
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((between_cases - error) / total)


def agreement_by_family(tables: Sequence[FeatureTable]) -> Mapping[Family, FamilyAgreement]:
    """Judge each feature family over the same cases as measured by several readers.

    Args:
        tables: One a reader, with equal cases and features.
    """
    ratings = np.stack([table.values for table in tables], axis=1)
    usable = np.isfinite(ratings).all(axis=(0, 1))
    agreement = np.full(len(tables[0].names), np.nan)
    agreement[usable] = icc_a1(ratings[:, :, usable])
    found: dict[Family, FamilyAgreement] = {}
    for family in FAMILIES:
        own = np.array([family_of(name) == family for name in tables[0].names])
        judged = agreement[own & np.isfinite(agreement)]
        if len(judged):
            found[family] = FamilyAgreement(
                len(judged), float(np.median(judged)), float((judged > STABLE).mean())
            )
    return found
