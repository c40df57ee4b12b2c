"""Agreement between readers: Cohen's kappa and the intraclass correlation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.inter_rater import cohens_kappa

from models.study.results import Estimate, Interval

_FEWEST_CASES = 5
STABLE = 0.80
"""Above this the paper calls a feature stable (sections 2.5 and 3.1)."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa with its standard error and 95 % interval (Fleiss, Cohen & Everitt 1969)."""

    value: float
    standard_error: float
    interval: Interval


def kappa(counts: ArrayLike) -> Kappa:
    """Return kappa of a square table of counts, rows one reader, columns the other.

    Where both readers used one and the same class only, kappa is not defined: NaN.
    """
    table = np.asarray(counts, dtype=np.float64)
    share = table / table.sum()
    expected = float(share.sum(axis=0) @ share.sum(axis=1))
    if expected == 1.0:
        return Kappa(float("nan"), float("nan"), (float("nan"), float("nan")))
    found = cohens_kappa(table)
    return Kappa(
        float(found.kappa),
        float(found.std_kappa),
        (float(found.kappa_low), float(found.kappa_upp)),
    )


def cross_table(first: ArrayLike, second: ArrayLike) -> NDArray[np.int64]:
    """Count how two readers classed the same cases, (classes, classes)."""
    one, other = np.asarray(first), np.asarray(second)
    classes = np.unique(np.concatenate([one, other]))
    return np.array([[((one == a) & (other == b)).sum() for b in classes] for a in classes])


def icc_a1(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two-way random, absolute-agreement, single-rater intraclass correlation.

    McGraw & Wong (1996) ICC(A,1), Shrout & Fleiss (1979) ICC(2,1), for many features at once.

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


def icc_with_interval(ratings: NDArray[np.float64]) -> Estimate:
    """Return the ICC(A,1) of one feature with its 95 % interval, by pingouin.

    Where a feature does not vary it is NaN. Few lesions have no interval: pingouin asks for five.

    Args:
        ratings: (cases, raters).
    """
    cases, raters = ratings.shape
    if cases < _FEWEST_CASES or np.ptp(ratings) == 0:
        return Estimate(float(icc_a1(ratings[:, :, None])[0]), None, "ICC(A,1)")
    import pingouin  # noqa: PLC0415 - a second of imports for one table of a study

    long = pd.DataFrame(
        {
            "case": np.repeat(np.arange(cases), raters),
            "rater": np.tile(np.arange(raters), cases),
            "value": ratings.ravel(),
        }
    )
    with warnings.catch_warnings():
        # pandas warns of what pingouin does inside.
        warnings.simplefilter("ignore")
        found = pingouin.intraclass_corr(long, "case", "rater", "value").iloc[1]
    low, high = found.iloc[-1]
    return Estimate(float(found["ICC"]), (float(low), float(high)), "ICC(A,1)")
