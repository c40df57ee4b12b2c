"""How probabilities agree with outcomes: slope, intercept, integrated calibration index, Brier."""

from __future__ import annotations

import warnings

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from statsmodels.nonparametric.smoothers_lowess import lowess
from statsmodels.tools.sm_exceptions import ConvergenceWarning, PerfectSeparationWarning

from models.study.results import Calibration, Estimate

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]

GROUPS = 10
_SPAN = 0.75  # of loess, as Austin & Steyerberg (2019) use it
_CLIP = 1e-6  # a probability of 0 or 1 has no log-odds
_POINTS = 101
_LARGE = 2000
_REACH = 40.0  # log-odds beyond the largest, where every prediction is 0 or 1
_LEAST_INFORMATION = 1e-2  # a standard error of 10 log-odds says nothing
_Z95 = 1.959963984540054


def calibration(scores: Scores, labels: Labels) -> Calibration:
    """Judge probabilities against outcomes.

    The slope is the coefficient of the log-odds in a logistic regression of the outcome, the
    intercept ("calibration in the large") that of the model with the log-odds as offset (Cox
    1958; Van Calster et al. 2016). The integrated calibration index is the mean distance to the
    loess curve (Austin & Steyerberg 2019). Where the classes are separated perfectly there is no
    finite slope: it is infinite, without an interval. Loess is statsmodels' lowess: local lines
    over three quarters of the cases, without down-weighting, as outcomes have no outliers.

    Args:
        scores: (cases,) probabilities; those of 0 and 1 are moved inside by 1e-6 for log-odds.
        labels: (cases,) 0 or 1, both present.
    """
    log_odds = np.asarray(logit(np.clip(scores, _CLIP, 1 - _CLIP)))
    smooth = _smoothed(scores, labels)
    return Calibration(
        slope=_slope(log_odds, labels),
        intercept=_intercept(log_odds, labels),
        ici=float(np.abs(smooth - scores).mean()),
        brier=float(np.square(scores - labels).mean()),
        curve=_curve(scores, smooth),
        groups=_groups(scores, labels),
    )


def _slope(log_odds: Scores, labels: Labels) -> Estimate:
    if np.ptp(log_odds) == 0:
        return Estimate(float("nan"), None, "all probabilities are equal")
    lowest, highest = log_odds[labels == 1].min(), log_odds[labels == 0].max()
    if lowest >= highest:
        return Estimate(float("inf"), None, "the classes are separated perfectly")
    if log_odds[labels == 1].max() <= log_odds[labels == 0].min():
        return Estimate(float("-inf"), None, "the classes are separated perfectly, reversed")
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        design = sm.add_constant(log_odds)
        fitted = sm.GLM(labels, design, family=sm.families.Binomial()).fit()
    low, high = fitted.conf_int()[1]
    return Estimate(float(fitted.params[1]), (float(low), float(high)), "Wald")


def _intercept(log_odds: Scores, labels: Labels) -> Estimate:
    """Solve for the shift of the log-odds that makes the mean prediction the observed share.

    Its likelihood has one parameter and one root whatever the probabilities, where iterated least
    squares overshoots if many are 0 or 1. Its standard error is that of the same logistic model.
    """

    def excess(shift: float) -> float:
        return float(expit(log_odds + shift).sum() - labels.sum())

    reach = float(np.abs(log_odds).max()) + _REACH
    shift = float(brentq(excess, -reach, reach, xtol=1e-12))
    predicted = expit(log_odds + shift)
    information = float((predicted * (1 - predicted)).sum())
    if information < _LEAST_INFORMATION:
        return Estimate(shift, None, "nearly all probabilities are 0 or 1")
    spread = _Z95 / np.sqrt(information)
    return Estimate(shift, (shift - float(spread), shift + float(spread)), "Wald")


def _smoothed(scores: Scores, labels: Labels) -> Scores:
    """Return the loess curve at each case, within 0..1."""
    if len(np.unique(scores)) < 3:
        means = {value: labels[scores == value].mean() for value in np.unique(scores)}
        return np.array([means[value] for value in scores], dtype=np.float64)
    # Large cohorts are fitted at places 0.1 % of the range apart, with lines between: O(n), not n².
    delta = 0.001 * float(np.ptp(scores)) if len(scores) > _LARGE else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = lowess(labels, scores, frac=_SPAN, it=0, delta=delta, return_sorted=False)
    # Where a neighbourhood is one single value loess has no line: the mean of those cases.
    flat = ~np.isfinite(smooth)
    for value in np.unique(scores[flat]):
        smooth[scores == value] = labels[scores == value].mean()
    return np.asarray(np.clip(smooth, 0, 1))


def _curve(scores: Scores, smooth: Scores) -> Scores:
    distinct, first = np.unique(scores, return_index=True)
    if len(distinct) > _POINTS:
        places = np.linspace(distinct[0], distinct[-1], _POINTS)
        return np.stack([places, np.interp(places, distinct, smooth[first])], axis=1)
    return np.stack([distinct, smooth[first]], axis=1)


def _groups(scores: Scores, labels: Labels) -> Scores:
    """Return mean prediction, observed share and count of each tenth by rank."""
    parts = np.array_split(np.argsort(scores, kind="stable"), min(GROUPS, len(scores)))
    return np.array([(scores[p].mean(), labels[p].mean(), len(p)) for p in parts])
