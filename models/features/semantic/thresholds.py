"""Where a measurement becomes a class: one logistic cut a feature, learned from readings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.features.semantic.measure import SemanticMeasurements
from models.features.semantic.values import BOUNDARY, CLASSES, ECHO, FLOW, MORPHOLOGY

_MEASUREMENT_OF = {
    MORPHOLOGY: "irregularity",
    BOUNDARY: "margin_sharpness",
    ECHO: "heterogeneity",
    # Adler's grades count vessels; the share of the area shrinks as lesions grow.
    FLOW: "vessel_count",
}
# A cut needs readings of both classes; fewer than these fit noise.
_FEWEST_PER_CLASS = 5
# The ridge keeps the slope finite when the classes do not overlap.
_RIDGE = 1.0
_ITERATIONS = 50
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Cut:
    """A logistic cut on one measurement.

    Attributes:
        cutoff: The measurement at which both classes are equally probable.
        slope: Log odds of the second class gained per unit of the measurement; negative where
            a smaller measurement speaks for it.
    """

    cutoff: float
    slope: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cutoff) and math.isfinite(self.slope)) or self.slope == 0:
            raise ValueError(f"a cut needs a finite cutoff and a slope, got {self}")

    def probability(self, measurement: float) -> float:
        """Probability of the second class, 0..1."""
        odds = self.slope * (measurement - self.cutoff)
        # exp of a negative number only: it cannot overflow.
        tail = math.exp(-abs(odds))
        return 1.0 / (1.0 + tail) if odds >= 0 else tail / (1.0 + tail)


@dataclass(frozen=True, slots=True)
class SemanticThresholds:
    """One cut a classified feature.

    The defaults were learned on simulated lesions; a bundle carries its own.

    Attributes:
        morphology: On the irregularity; irregular above.
        boundary: On the margin's sharpness in 1/mm; unclear below.
        internal_echo: On the heterogeneity in grey levels; uneven above.
        flow_grade: On the number of vessels; 2-3 above.
    """

    morphology: Cut = Cut(0.146, 17.8)
    boundary: Cut = Cut(1.74, -1.16)
    internal_echo: Cut = Cut(14.3, 0.148)
    flow_grade: Cut = Cut(2.24, 1.75)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON or TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, float]]) -> SemanticThresholds:
        """Rebuild the thresholds that `to_dict` wrote; every feature must be there."""
        names = {field.name for field in fields(cls)}
        if set(data) != names:
            raise ValueError(f"thresholds name {sorted(data)}, expected {sorted(names)}")
        return cls(**{name: Cut(**cut) for name, cut in data.items()})


def measured(measurements: SemanticMeasurements, name: str) -> float | None:
    """The measurement that a classified feature rests on."""
    value: float | None = getattr(measurements, _MEASUREMENT_OF[name])
    return None if value is None else float(value)


def learn_thresholds(
    measurements: Sequence[SemanticMeasurements],
    reads: Sequence[Mapping[str, str | None]],
    start: SemanticThresholds | None = None,
) -> SemanticThresholds:
    """Fit one logistic cut a feature to radiologists' readings.

    Args:
        measurements: One per lesion.
        reads: One per lesion: feature name to class; a missing name or None is skipped.
        start: Cuts to keep where the readings are too few, hold one class only, or contradict
            the direction of the measurement; the defaults where None.

    Returns:
        The thresholds for the bundle.

    Raises:
        ValueError: The sequences differ in length or a reading is not in the feature's set.
    """
    thresholds = start or SemanticThresholds()
    for name, (_, positive) in CLASSES.items():
        pairs = [
            (value, _is_positive(name, read[name], positive))
            for one, read in zip(measurements, reads, strict=True)
            if (value := measured(one, name)) is not None and read.get(name) is not None
        ]
        known: Cut = getattr(thresholds, name)
        cut = _fit(pairs)
        if cut is not None and cut.slope * known.slope > 0:
            thresholds = replace(thresholds, **{name: cut})
    return thresholds


def _is_positive(name: str, value: str | None, positive: str) -> bool:
    if value not in CLASSES[name]:
        raise ValueError(f"{name} is one of {', '.join(CLASSES[name])}, got {value!r}")
    return value == positive


def _fit(pairs: Sequence[tuple[float, bool]]) -> Cut | None:
    classes = np.array([positive for _, positive in pairs], dtype=np.float64)
    positives = int(np.count_nonzero(classes))
    if min(positives, len(classes) - positives) < _FEWEST_PER_CLASS:
        return None
    values = np.array([value for value, _ in pairs], dtype=np.float64)
    centre, spread = float(values.mean()), float(values.std())
    if spread == 0:
        return None
    intercept, slope = _logistic((values - centre) / spread, classes)
    if slope == 0:
        return None
    return Cut(centre - intercept / slope * spread, slope / spread)


def _logistic(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Ridge logistic regression on one standardised variable by Newton's method."""
    design = np.column_stack([np.ones_like(x), x])
    penalty = np.diag([0.0, _RIDGE])
    beta = np.zeros(2)
    for _ in range(_ITERATIONS):
        p = 1.0 / (1.0 + np.exp(-(design @ beta)))
        gradient = design.T @ (y - p) - penalty @ beta
        hessian = (design * (p * (1.0 - p))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step
        if float(np.abs(step).max()) < _TOLERANCE:
            break
    return float(beta[0]), float(beta[1])
