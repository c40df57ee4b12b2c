"""From a lesion to all its features: the one way, for serving, training and `crdl features`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backbone.result import DeepResult, FeatureRunner
from models.features.clinical import ClinicalInput, clinical_vector
from models.features.deep import DeepSettings, deep_result
from models.features.feature_set import FeatureSet
from models.features.radiomics import RadiomicsSettings
from models.features.radiomics import extract as extract_radiomics
from models.features.semantic import (
    SemanticMeasurements,
    SemanticThresholds,
    classify,
    measure_semantics,
    merge_reading,
)
from models.imaging.geometry import PixelGeometry
from models.imaging.preparation import ImagingSettings, Lesion, prepare_lesion
from models.imaging.read import Frame


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Everything that decides the value of a feature; equal in training and serving.

    Attributes:
        imaging: How the lesion is prepared.
        radiomics: Feature set, bin width, engine.
        deep: How the backbone's crop is made.
        semantic: Where a measurement becomes a class.
        backbone_sha256: Hash of the backbone's weights file; "" where no backbone runs.
    """

    imaging: ImagingSettings = field(default_factory=ImagingSettings)
    radiomics: RadiomicsSettings = field(default_factory=RadiomicsSettings)
    deep: DeepSettings = field(default_factory=DeepSettings)
    semantic: SemanticThresholds = field(default_factory=SemanticThresholds)
    backbone_sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "imaging": self.imaging.to_dict(),
            "radiomics": self.radiomics.to_dict(),
            "deep": self.deep.to_dict(),
            "semantic": self.semantic.to_dict(),
            "backbone_sha256": self.backbone_sha256,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FeatureSettings:
        """Rebuild the settings that `to_dict` wrote."""
        return cls(
            ImagingSettings.from_dict(data["imaging"]),
            RadiomicsSettings.from_dict(data["radiomics"]),
            DeepSettings.from_dict(data["deep"]),
            SemanticThresholds.from_dict(data["semantic"]),
            data["backbone_sha256"],
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of the settings."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A lesion on one frame.

    Attributes:
        frame: The decoded frame.
        mask: (rows, columns) bool on the frame's raster.
        geometry: The scale that holds for the mask.
    """

    frame: Frame
    mask: NDArray[np.bool_]
    geometry: PixelGeometry


@dataclass(frozen=True, slots=True, eq=False)
class Extraction:
    """The features of a lesion and how they came about.

    Attributes:
        features: What a bundle scores.
        measurements: What the semantic features rest on, with the diameter's end points.
        device: Where the backbone ran; "none" where none did.
        device_note: Why that is not the device that was asked for; "" where it is.
        timings_ms: Milliseconds by stage: prepare, semantic, radiomics, deep.
    """

    features: FeatureSet
    measurements: SemanticMeasurements
    device: str
    device_note: str
    timings_ms: Mapping[str, float]


def extract_features(
    view: View,
    clinical: ClinicalInput,
    settings: FeatureSettings,
    runner: FeatureRunner | None,
    *,
    doppler: View | None = None,
    reading: Mapping[str, float | str | None] | None = None,
) -> Extraction:
    """Measure everything about one lesion.

    Args:
        view: The lesion on the assessed frame.
        clinical: Age and sex from the header.
        settings: The bundle's.
        runner: A warm backbone; None leaves the deep features out.
        doppler: The same lesion as outlined on a colour frame, if any: flow is measured there.
        reading: A radiologist's semantic features by name; they override what is measured.

    Raises:
        ModelsError: The lesion cannot be measured; the subclass and its `code` say why.
    """
    timings: dict[str, float] = {}
    with _timed(timings, "prepare"):
        lesion = prepare_lesion(view.frame, view.mask, view.geometry, settings.imaging)
        on_colour = None if doppler is None else _prepared(doppler, settings)
    with _timed(timings, "semantic"):
        measurements = measure_semantics(lesion, on_colour)
        semantic = classify(measurements, settings.semantic)
        if reading:
            semantic = merge_reading(semantic, reading)
    with _timed(timings, "radiomics"):
        radiomics = extract_radiomics(lesion.image, lesion.mask, lesion.spacing, settings.radiomics)
    with _timed(timings, "deep"):
        deep = _deep(lesion, settings, runner)
    features = FeatureSet(
        radiomics=radiomics,
        deep=deep.features[0],
        clinical=clinical_vector(clinical, semantic),
        semantic=tuple(semantic.values()),
    )
    return Extraction(features, measurements, deep.device, deep.fallback_reason, timings)


def _prepared(view: View, settings: FeatureSettings) -> Lesion:
    return prepare_lesion(view.frame, view.mask, view.geometry, settings.imaging)


def _deep(lesion: Lesion, settings: FeatureSettings, runner: FeatureRunner | None) -> DeepResult:
    if runner is None:
        return DeepResult(np.zeros((1, 0), np.float32), "none")
    return deep_result(lesion.image, lesion.mask, runner, settings.deep)


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = 1000 * (time.perf_counter() - start)
