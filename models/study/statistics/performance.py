"""Everything that is said about one model on one cohort, and of two models against each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.study.results import CohortName, Comparison, Estimate, ModelResult, Performance
from models.study.statistics.calibration import calibration
from models.study.statistics.delong import auc_with_interval, paired_test, roc_points
from models.study.statistics.operating import bootstrap_auc_interval, shares_at

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]


def performance(
    ids: Sequence[str],
    scores: Scores,
    labels: Labels,
    threshold: float,
    patients: Sequence[str],
    seed: int,
) -> Performance:
    """Judge one model on one cohort at a threshold that was fixed elsewhere.

    Cases that the model could not score (NaN) are left out.

    Args:
        ids: Of the cases.
        scores: (cases,) probabilities.
        labels: (cases,) 1 malignant.
        threshold: A score at it counts as malignant.
        patients: Whose case each is, for the bootstrap.
        seed: Of the bootstrap.

    Raises:
        FusionError: Fewer than two malignant or two benign cases were scored.
    """
    there = np.isfinite(scores)
    own, truth = scores[there], labels[there]
    whose = [patient for patient, kept in zip(patients, there, strict=True) if kept]
    auc = auc_with_interval(own, truth)
    interval = bootstrap_auc_interval(own, truth, whose, seed)
    shares = shares_at(own, truth, threshold)
    return Performance(
        ids=tuple(name for name, kept in zip(ids, there, strict=True) if kept),
        scores=own,
        labels=truth,
        threshold=threshold,
        auc=auc,
        auc_bootstrap=Estimate(auc.value, interval, "patient-level bootstrap"),
        accuracy=shares["accuracy"],
        sensitivity=shares["sensitivity"],
        specificity=shares["specificity"],
        ppv=shares["ppv"],
        npv=shares["npv"],
        calibration=calibration(own, truth),
        roc=roc_points(own, truth),
    )


def compare_all(models: Sequence[ModelResult], cohort: CohortName) -> tuple[Comparison, ...]:
    """Test every pair of models by DeLong on the cases that both scored.

    A pair whose common cases do not hold two malignant and two benign ones is left out.
    """
    judged = {
        model.name: found
        for model in models
        if (found := model.cross_validated if cohort == "training" else model.external)
    }
    compared = (
        _compare(first, second, judged[first], judged[second], cohort)
        for first, second in combinations(judged, 2)
    )
    return tuple(comparison for comparison in compared if comparison is not None)


def _compare(
    first: str, second: str, one: Performance, other: Performance, cohort: CohortName
) -> Comparison | None:
    places = {name: place for place, name in enumerate(other.ids)}
    left = np.array([place for place, name in enumerate(one.ids) if name in places], dtype=np.int64)
    right = np.array([places[one.ids[place]] for place in left], dtype=np.int64)
    labels = one.labels[left]
    if min((labels == 1).sum(), (labels == 0).sum()) < 2:
        return None
    found = paired_test(one.scores[left], other.scores[right], labels)
    return Comparison(first, second, cohort, found.difference, found.statistic, found.p, len(left))
