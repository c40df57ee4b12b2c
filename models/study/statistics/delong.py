"""DeLong's variance of ROC areas (DeLong, DeLong & Clarke-Pearson 1988), by midranks.

The structural components come from midranks in O(n log n) (Sun & Xu 2014); ties count half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.fusion.errors import FusionError
from models.study.results import Estimate

Labels = NDArray[np.int64]
Matrix = NDArray[np.float64]

Z95 = float(stats.norm.ppf(0.975))


@dataclass(frozen=True, slots=True)
class Areas:
    """ROC areas of several models on the same cases, with their covariance.

    Attributes:
        auc: (models,).
        covariance: (models, models).
    """

    auc: Matrix
    covariance: Matrix


@dataclass(frozen=True, slots=True)
class DelongTest:
    """Whether two areas differ: their difference, z (t if unpaired) and two-sided p."""

    difference: float
    statistic: float
    p: float


def areas(scores: Matrix, labels: Labels) -> Areas:
    """Return the areas of (models, cases) scores on (cases,) labels.

    Raises:
        FusionError: A class has fewer than two cases.
    """
    positive, negative = scores[:, labels == 1], scores[:, labels == 0]
    m, n = positive.shape[1], negative.shape[1]
    if m < 2 or n < 2:
        raise FusionError("DeLong's variance needs two malignant and two benign cases")
    ranks = stats.rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    of_positive = (ranks[:, :m] - stats.rankdata(positive, axis=1)) / n
    of_negative = 1 - (ranks[:, m:] - stats.rankdata(negative, axis=1)) / m
    covariance = np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n
    return Areas(of_positive.mean(axis=1), covariance)


def auc_with_interval(scores: NDArray[np.float64], labels: Labels) -> Estimate:
    """Return one area with its 95 % Wald interval on the area itself, cut to 0..1, as pROC."""
    found = areas(scores[None, :], labels)
    area, spread = float(found.auc[0]), Z95 * float(np.sqrt(found.covariance[0, 0]))
    return Estimate(area, (max(0.0, area - spread), min(1.0, area + spread)), "DeLong")


def paired_test(
    first: NDArray[np.float64], second: NDArray[np.float64], labels: Labels
) -> DelongTest:
    """Compare two models on the same cases; equal curves give z = 0 and p = 1."""
    found = areas(np.stack([first, second]), labels)
    difference = float(found.auc[0] - found.auc[1])
    variance = float(found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1])
    # Below this a variance is the rounding of one that is nothing.
    if variance <= 1e-15:
        if abs(difference) <= 1e-12:
            return DelongTest(0.0, 0.0, 1.0)
        return DelongTest(difference, float(np.copysign(np.inf, difference)), 0.0)
    z = difference / np.sqrt(variance)
    return DelongTest(difference, float(z), float(2 * stats.norm.sf(abs(z))))


def unpaired_test(
    first: NDArray[np.float64],
    first_labels: Labels,
    second: NDArray[np.float64],
    second_labels: Labels,
) -> DelongTest:
    """Compare models on different cases, with Satterthwaite's degrees of freedom as pROC."""
    one, other = areas(first[None], first_labels), areas(second[None], second_labels)
    v1, v2 = float(one.covariance[0, 0]), float(other.covariance[0, 0])
    difference = float(one.auc[0] - other.auc[0])
    if v1 + v2 <= 1e-15:
        same = abs(difference) <= 1e-12
        return DelongTest(difference, 0.0 if same else np.inf, 1.0 if same else 0.0)
    t = difference / np.sqrt(v1 + v2)
    freedom = (v1 + v2) ** 2 / (v1**2 / (len(first) - 1) + v2**2 / (len(second) - 1))
    return DelongTest(difference, float(t), float(2 * stats.t.sf(abs(t), freedom)))


def roc_points(scores: NDArray[np.float64], labels: Labels) -> Matrix:
    """Return the ROC curve, (points, 2) of false and true positive rate, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits, alarms = np.cumsum(labels[order] == 1)[last], np.cumsum(labels[order] == 0)[last]
    curve = np.stack([alarms / max(alarms[-1], 1), hits / max(hits[-1], 1)], axis=1)
    return np.concatenate([[[0.0, 0.0]], curve])
