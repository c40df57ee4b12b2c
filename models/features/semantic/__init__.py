"""The five semantic features, measured from image and mask, or read by a radiologist."""

from models.features.semantic.classes import adler_grade, classify, merge_reading
from models.features.semantic.measure import SemanticMeasurements, measure_semantics
from models.features.semantic.thresholds import Cut, SemanticThresholds, learn_thresholds
from models.features.semantic.values import (
    CLASSES,
    SEMANTIC_NAMES,
    SemanticFeature,
    SemanticValueError,
)

__all__ = [
    "CLASSES",
    "SEMANTIC_NAMES",
    "Cut",
    "SemanticFeature",
    "SemanticMeasurements",
    "SemanticThresholds",
    "SemanticValueError",
    "adler_grade",
    "classify",
    "learn_thresholds",
    "measure_semantics",
    "merge_reading",
]
