"""Watching a bundle at work: performance on the outcomes that came back, and drift of its inputs.

Everything is counted on the cases given; nothing is smoothed or corrected. Outcomes do not come
back for all cases alike (what looks malignant is biopsied), so sensitivity and specificity are
those of the cases with an outcome, and the share of these is stated beside them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.fusion.errors import FusionError
from models.study.results import Estimate, Share
from models.study.statistics.calibration import calibration
from models.study.statistics.delong import auc_with_interval
from models.study.statistics.operating import shares_of_calls, wilson

WINDOW = 50
"""Outcomes in one window of the rolling AUC."""

_FEWEST = 10  # a slope from fewer outcomes says nothing
_FEWEST_INPUTS = 5  # a mean of fewer cases is not compared
_NOTABLE = 0.25  # of a standard deviation (Stuart, Stat Sci 2010;25:1, "less than 0.25")
_SURE = 3.0  # standard errors: with some hundred features, chance alone reaches two


@dataclass(frozen=True, slots=True)
class MonitoredCase:
    """One lesion's latest finding, with its outcome if there is one.

    Attributes:
        at: ISO 8601 time of the finding.
        probability: None where refused.
        called: Malignant at the threshold; None where refused or abstained.
        truth: Malignant; None without an outcome.
        truth_kind: `pathology` or `verified-sr`; "" without an outcome.
        novel: Outside of the training data; None where that was not kept.
        inputs: What the answering model saw, by feature.
    """

    case: str
    at: str
    probability: float | None
    called: bool | None
    truth: bool | None = None
    truth_kind: str = ""
    model: str = ""
    novel: bool | None = None
    inputs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a feature's mean lies from the training cases'.

    Attributes:
        difference: Standardised by the training standard deviation.
        spread: Standard deviation over that of training.
        cases: How many cases had it.
        notable: `difference` is large, and larger than chance explains.
    """

    feature: str
    difference: float
    spread: float
    cases: int
    notable: bool


@dataclass(frozen=True, slots=True)
class Window:
    """The AUC of consecutive outcomes; None where a class has fewer than two."""

    first: str
    last: str
    outcomes: int
    malignant: int
    auc: Estimate | None


@dataclass(frozen=True, slots=True)
class Monitoring:
    """All that is watched; what cannot be said is None, and `notes` say why."""

    cases: int
    months: Mapping[str, int]
    refused: Share
    abstained: Share
    novel: Share
    with_outcome: Share
    outcomes_by_kind: Mapping[str, int]
    malignant: int
    auc: Estimate | None
    sensitivity: Share | None
    specificity: Share | None
    mean_probability: float | None
    observed: float | None
    intercept: Estimate | None
    slope: Estimate | None
    windows: tuple[Window, ...]
    drift: tuple[Drift, ...]
    notes: tuple[str, ...]


def monitor(
    cases: Sequence[MonitoredCase], reference: Mapping[str, tuple[float, float]]
) -> Monitoring:
    """Judge a bundle's cases.

    Args:
        cases: In the order of time.
        reference: Training mean and standard deviation of each feature that a model uses.
    """
    assessed = [case for case in cases if case.probability is not None]
    judged = [case for case in assessed if case.truth is not None]
    known_novelty = [case for case in assessed if case.novel is not None]
    notes = list(_notes(cases, assessed, judged))
    scores = np.array([case.probability for case in judged], dtype=np.float64)
    labels = np.array([int(bool(case.truth)) for case in judged], dtype=np.int64)
    called = [case for case in judged if case.called is not None]
    shares = None
    if called:
        shares = shares_of_calls(
            np.array([bool(case.called) for case in called]),
            np.array([int(bool(case.truth)) for case in called], dtype=np.int64),
        )
    both = 0 < labels.sum() < len(labels)
    fitted = calibration(scores, labels) if both and len(labels) >= _FEWEST else None
    if fitted is None and judged:
        notes.append(f"calibration needs {_FEWEST} outcomes and both classes")
    return Monitoring(
        cases=len(cases),
        months=dict(sorted(Counter(case.at[:7] for case in cases).items())),
        refused=wilson(len(cases) - len(assessed), len(cases)),
        abstained=wilson(sum(case.called is None for case in assessed), len(assessed)),
        novel=wilson(sum(bool(case.novel) for case in known_novelty), len(known_novelty)),
        with_outcome=wilson(len(judged), len(assessed)),
        outcomes_by_kind=dict(sorted(Counter(case.truth_kind for case in judged).items())),
        malignant=int(labels.sum()),
        auc=_auc(scores, labels),
        sensitivity=None if shares is None else shares["sensitivity"],
        specificity=None if shares is None else shares["specificity"],
        mean_probability=float(scores.mean()) if judged else None,
        observed=float(labels.mean()) if judged else None,
        intercept=None if fitted is None else fitted.intercept,
        slope=None if fitted is None else fitted.slope,
        windows=_windows(judged),
        drift=_drift(assessed, reference),
        notes=tuple(notes),
    )


def _notes(
    cases: Sequence[MonitoredCase],
    assessed: Sequence[MonitoredCase],
    judged: Sequence[MonitoredCase],
) -> tuple[str, ...]:
    if not cases:
        return ("no case of this bundle in this time",)
    notes = []
    if not judged:
        notes.append("no outcome has come back: performance is not known")
    elif len({case.truth for case in judged}) == 1:
        notes.append("all outcomes are of one class: there is no AUC")
    if assessed and not any(case.inputs for case in assessed):
        notes.append("no case kept what its model saw: drift is not known")
    return tuple(notes)


def _auc(scores: np.ndarray, labels: np.ndarray) -> Estimate | None:
    try:
        return auc_with_interval(scores, labels) if len(labels) else None
    except FusionError:
        return None


def _windows(judged: Sequence[MonitoredCase]) -> tuple[Window, ...]:
    """Cut the outcomes into windows that overlap by half, the last one ending with the last."""
    starts = list(range(0, max(1, len(judged) - WINDOW + 1), WINDOW // 2)) if judged else []
    if len(judged) > WINDOW and starts[-1] != len(judged) - WINDOW:
        starts.append(len(judged) - WINDOW)
    windows = []
    for start in starts:
        part = judged[start : start + WINDOW]
        scores = np.array([case.probability for case in part], dtype=np.float64)
        labels = np.array([int(bool(case.truth)) for case in part], dtype=np.int64)
        windows.append(
            Window(part[0].at, part[-1].at, len(part), int(labels.sum()), _auc(scores, labels))
        )
    return tuple(windows)


def _drift(
    assessed: Sequence[MonitoredCase], reference: Mapping[str, tuple[float, float]]
) -> tuple[Drift, ...]:
    """Compare each feature with the training cases, the largest difference first."""
    found = []
    for feature, (mean, scale) in reference.items():
        values = np.array(
            [case.inputs[feature] for case in assessed if feature in case.inputs], np.float64
        )
        values = values[np.isfinite(values)]
        if len(values) < _FEWEST_INPUTS or not scale > 0:
            continue
        difference = float((values.mean() - mean) / scale)
        notable = abs(difference) > max(_NOTABLE, _SURE / math.sqrt(len(values)))
        spread = float(values.std(ddof=1) / scale)
        found.append(Drift(feature, difference, spread, len(values), notable))
    return tuple(sorted(found, key=lambda drift: -abs(drift.difference)))
