"""From measurements to semantic features, and readings over both."""

from __future__ import annotations

from collections.abc import Mapping

from models.features.semantic.measure import SemanticMeasurements
from models.features.semantic.thresholds import Cut, SemanticThresholds, measured
from models.features.semantic.values import (
    CLASSES,
    DIAMETER,
    FLOW,
    SEMANTIC_NAMES,
    SemanticFeature,
    check_value,
    not_assessed,
    unit_of,
)

_WHOLE_CONFIDENCE = 1.0
_TRUNCATED_CONFIDENCE = 0.5
# Adler et al., Ultrasound Med Biol 1990;16:553: grade 3 shows four vessels and more.
_MARKED_VESSELS = 4


def classify(
    measurements: SemanticMeasurements, thresholds: SemanticThresholds
) -> dict[str, SemanticFeature]:
    """Say the five semantic features of a lesion.

    Args:
        measurements: Of the lesion.
        thresholds: The bundle's.

    Returns:
        One feature for each of `SEMANTIC_NAMES`, in that order, measured or not assessed.
    """
    features = {DIAMETER: _diameter(measurements)}
    for name in SEMANTIC_NAMES[1:]:
        value = measured(measurements, name)
        cut: Cut = getattr(thresholds, name)
        features[name] = not_assessed(name) if value is None else _class(name, cut, value)
    return features


def adler_grade(measurements: SemanticMeasurements, thresholds: SemanticThresholds) -> int | None:
    """Adler's grade of vascularity, 0 to 3, in agreement with the class that `classify` says.

    Grade 0 shows no flow, 1 some below the cut, 2 some above it in fewer than four vessels, 3
    four vessels and more. None where flow was not looked at.
    """
    if measurements.vessel_count is None:
        return None
    if measurements.vessel_count == 0:
        return 0
    if thresholds.flow_grade.probability(measurements.vessel_count) < 0.5:
        return 1
    return 3 if measurements.vessel_count >= _MARKED_VESSELS else 2


def merge_reading(
    measured_features: Mapping[str, SemanticFeature], reading: Mapping[str, float | str | None]
) -> dict[str, SemanticFeature]:
    """Let a radiologist's reading override what was measured.

    Args:
        measured_features: From `classify`.
        reading: Feature name to value; None or a missing name leaves the measurement.

    Returns:
        The features in the same order, overridden ones with provenance "read".

    Raises:
        SemanticValueError: The reading names an unknown feature or value.
    """
    merged = dict(measured_features)
    for name, value in reading.items():
        if value is None:
            continue
        check_value(name, value)
        merged[name] = SemanticFeature(name, value, unit_of(name), "read")
    return merged


def _diameter(measurements: SemanticMeasurements) -> SemanticFeature:
    confidence = _TRUNCATED_CONFIDENCE if measurements.truncated else _WHOLE_CONFIDENCE
    return SemanticFeature(
        DIAMETER, measurements.maximum_diameter, unit_of(DIAMETER), "measured", confidence
    )


def _class(name: str, cut: Cut, value: float) -> SemanticFeature:
    first, second = CLASSES[name]
    # No visible flow is grade 0 for certain, whatever a fitted curve says at zero.
    if name == FLOW and value == 0:
        return SemanticFeature(name, first, unit_of(name), "measured", 1.0)
    p = cut.probability(value)
    chosen = second if p >= 0.5 else first
    return SemanticFeature(name, chosen, unit_of(name), "measured", max(p, 1.0 - p))
