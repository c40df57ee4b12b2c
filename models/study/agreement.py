"""Agreement between two readers' contours by feature family, for a bundle's model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.fusion.table import FAMILIES, Family, FeatureTable, family_of
from models.study.statistics.agreement import STABLE, icc_a1


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
