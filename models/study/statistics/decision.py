"""Net benefit of acting on a probability (Vickers & Elkin 2006)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.study.results import CohortName, DecisionCurve, Mode

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]

THRESHOLDS: Scores = np.round(np.arange(0.01, 1.0, 0.01), 2)


def net_benefit(scores: Scores, labels: Labels, threshold: float) -> float:
    """Return true positives less false ones at the odds of the threshold, a case.

    Args:
        scores: (cases,) probabilities; one at the threshold is acted upon.
        labels: (cases,) 0 or 1.
        threshold: Probability above which one would act, 0..1 exclusive.
    """
    acted = scores >= threshold
    hits, alarms = (acted & (labels == 1)).mean(), (acted & (labels == 0)).mean()
    return float(hits - alarms * threshold / (1 - threshold))


def decision_curve(
    scores: Mapping[str, tuple[Scores, Labels]],
    cohort: CohortName,
    mode: Mode,
    thresholds: Scores = THRESHOLDS,
) -> DecisionCurve:
    """Return net benefit of each model, of acting on all and of acting on none.

    Args:
        scores: By model, (scores, labels) of the cases it answered. "all" uses the labels of the
            model with the most cases.
        cohort: For the figure.
        mode: Likewise.
        thresholds: (points,).
    """
    benefit = {
        name: np.array([net_benefit(own, labels, t) for t in thresholds])
        for name, (own, labels) in scores.items()
    }
    widest = max((labels for _, labels in scores.values()), key=len)
    share = widest.mean()
    benefit["all"] = share - (1 - share) * thresholds / (1 - thresholds)
    benefit["none"] = np.zeros(len(thresholds))
    return DecisionCurve(cohort, mode, thresholds, benefit)
