"""Discrimination and the operating point: AUC, weighted Youden, sensitivity, specificity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from models.fusion.errors import FusionError

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]


def area_under_curve(scores: Scores, labels: Labels) -> float:
    """Return the area under the ROC curve, ties counted half (Mann-Whitney)."""
    positives, negatives = _count(labels)
    ranks = rankdata(scores)
    above = ranks[labels == 1].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def sensitivity_specificity(
    scores: Scores, labels: Labels, threshold: float
) -> tuple[float, float]:
    """Return both at a threshold; a score at the threshold counts as malignant."""
    positives, negatives = _count(labels)
    called = scores >= threshold
    return (
        float((called & (labels == 1)).sum() / positives),
        float((~called & (labels == 0)).sum() / negatives),
    )


def weighted_youden(scores: Scores, labels: Labels, weight: float = 1.0) -> float:
    """Return the threshold that maximises sensitivity + weight * specificity.

    Candidates are the midpoints between neighbouring scores; of equally good ones the lowest,
    the more sensitive, is taken.

    Args:
        scores: (cases,) out-of-fold probabilities.
        labels: (cases,) 0 or 1.
        weight: r; 1 is the plain Youden index.

    Raises:
        FusionError: Only one class, or only one score, is there.
    """
    positives, negatives = _count(labels)
    distinct, where = np.unique(scores, return_inverse=True)
    if len(distinct) < 2:
        raise FusionError("all scores are equal: there is no threshold between them")
    malignant = np.bincount(where, weights=labels == 1)
    benign = np.bincount(where, weights=labels == 0)
    # Between score i and i + 1: everything up to i is called benign.
    sensitivity = 1 - np.cumsum(malignant)[:-1] / positives
    specificity = np.cumsum(benign)[:-1] / negatives
    # Rounded, so that ties by counting are ties and not decided by the last bit.
    best = int(np.argmax(np.round(sensitivity + weight * specificity, 12)))
    return float((distinct[best] + distinct[best + 1]) / 2)


def _count(labels: Labels) -> tuple[int, int]:
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if positives == 0 or negatives == 0:
        raise FusionError("malignant and benign cases are both needed")
    return positives, negatives
