"""The two intervals that a bundle's card needs: Wilson's for a share, DeLong's for an AUC."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from statsmodels.stats.proportion import proportion_confint

from models.study.results import Estimate, Share

_Z95 = 1.959963984540054


def wilson(numerator: int, denominator: int) -> Share:
    """Return a proportion with Wilson's 95 % interval (1927); `denominator` is positive."""
    low, high = proportion_confint(numerator, denominator, method="wilson")
    return Share(numerator / denominator, (float(low), float(high)), numerator, denominator)


def auc_interval(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> Estimate:
    """Return the AUC with DeLong's 95 % interval (1988), cut to 0..1.

    The structural components come from midranks (Sun & Xu 2014).

    Args:
        scores: (cases,).
        labels: (cases,) 0 or 1, at least two of each.
    """
    malignant, benign = scores[labels == 1], scores[labels == 0]
    m, n = len(malignant), len(benign)
    ranks = rankdata(np.concatenate([malignant, benign]))
    of_malignant = (ranks[:m] - rankdata(malignant)) / n
    of_benign = 1 - (ranks[m:] - rankdata(benign)) / m
    area = float(of_malignant.mean())
    spread = _Z95 * math.sqrt(of_malignant.var(ddof=1) / m + of_benign.var(ddof=1) / n)
    return Estimate(area, (max(0.0, area - spread), min(1.0, area + spread)), "DeLong")
