"""Shares at an operating point, with Wilson's interval, and the patient-level bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from models.fusion.errors import FusionError
from models.study.results import Interval, Share

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]
Statistic = Callable[[Scores, Labels], float]

SHARES = ("accuracy", "sensitivity", "specificity", "ppv", "npv")
LEVEL = 0.95
REPLICATES = 2000
_BATCH = 100  # replicates at a time: 8 MB of counts at 10,000 cases


def wilson(numerator: int, denominator: int) -> Share:
    """Return a proportion with Wilson's 95 % interval (Wilson 1927).

    Without any case the value is NaN and the interval is the whole of 0..1: nothing is known.
    """
    if denominator == 0:
        return Share(float("nan"), (0.0, 1.0), 0, 0)
    low, high = proportion_confint(numerator, denominator, alpha=1 - LEVEL, method="wilson")
    return Share(numerator / denominator, (float(low), float(high)), numerator, denominator)


def shares_of_calls(called: NDArray[np.bool_], labels: Labels) -> Mapping[str, Share]:
    """Return accuracy, sensitivity, specificity, PPV and NPV of calls.

    Args:
        called: (cases,) called malignant.
        labels: (cases,) 1 malignant.
    """
    malignant = labels == 1
    hits = int((called & malignant).sum())
    rejections = int((~called & ~malignant).sum())
    return {
        "accuracy": wilson(hits + rejections, len(labels)),
        "sensitivity": wilson(hits, int(malignant.sum())),
        "specificity": wilson(rejections, int((~malignant).sum())),
        "ppv": wilson(hits, int(called.sum())),
        "npv": wilson(rejections, int((~called).sum())),
    }


def shares_at(scores: Scores, labels: Labels, threshold: float) -> Mapping[str, Share]:
    """Return the same at a threshold; a score at the threshold counts as malignant."""
    return shares_of_calls(scores >= threshold, labels)


def bootstrap_interval(
    statistic: Statistic,
    scores: Scores,
    labels: Labels,
    patients: Sequence[str],
    seed: int,
    replicates: int = REPLICATES,
) -> Interval:
    """Return the percentile interval of a statistic over resampled patients.

    Patients, not lesions, are drawn with replacement, apart for patients with and without a
    malignant lesion, so that both classes are there (Efron & Tibshirani 1993, ch. 13). Only where
    every patient has a malignant lesion can a replicate lack benign ones: it is left out.

    Args:
        statistic: Of (scores, labels).
        scores: (cases,).
        labels: (cases,) 0 or 1, both present.
        patients: Whose case each is.
        seed: Of the drawing.
        replicates: How many.

    Raises:
        FusionError: Only one class is there.
    """
    found = []
    for times in _drawn(labels, patients, seed, replicates):
        for weights in times:
            cases = np.repeat(np.arange(len(scores)), weights)
            if labels[cases].min() < labels[cases].max():
                found.append(statistic(scores[cases], labels[cases]))
    return _percentiles(np.array(found))


def bootstrap_auc_interval(
    scores: Scores,
    labels: Labels,
    patients: Sequence[str],
    seed: int,
    replicates: int = REPLICATES,
) -> Interval:
    """Return what `bootstrap_interval` returns of the area under the curve, many at a time.

    A replicate only weights the cases, so the scores are ranked once for all of them.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    malignant = labels[order] == 1
    found = []
    for times in _drawn(labels, patients, seed, replicates):
        weights = times[:, order].astype(np.float64)
        positive = np.add.reduceat(weights * malignant, starts, axis=1)
        negative = np.add.reduceat(weights * ~malignant, starts, axis=1)
        # Benign cases scored lower count whole, equal ones half (Mann-Whitney).
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        there = pairs > 0
        found.append((positive * below).sum(axis=1)[there] / pairs[there])
    return _percentiles(np.concatenate(found))


def _percentiles(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _drawn(
    labels: Labels, patients: Sequence[str], seed: int, replicates: int
) -> Iterator[NDArray[np.int64]]:
    """Yield how often each case is drawn, (some replicates, cases) at a time."""
    if labels.min() == labels.max():
        raise FusionError("malignant and benign cases are both needed")
    whose = np.unique(np.array(patients), return_inverse=True)[1]
    malignant = np.bincount(whose, weights=labels == 1) > 0
    strata = [own for own in (np.flatnonzero(malignant), np.flatnonzero(~malignant)) if len(own)]
    generator = np.random.default_rng(seed)
    for first in range(0, replicates, _BATCH):
        shape = (min(_BATCH, replicates - first), len(malignant))
        row = shape[1] * np.arange(shape[0])[:, None]
        cells = [own[generator.integers(len(own), size=(shape[0], len(own)))] for own in strata]
        drawn = (row + np.concatenate(cells, axis=1)).ravel()
        yield np.bincount(drawn, minlength=shape[0] * shape[1]).reshape(shape)[:, whose]
