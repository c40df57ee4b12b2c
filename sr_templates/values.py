"""The frozen values that a report is built from: the report's own vocabulary.

This package knows nothing of the node; `node.report` translates findings into these values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sr_templates.codes import Code
from sr_templates.errors import TemplateError

Provenance = Literal["measured", "read", "header", "not assessed"]
Malignancy = Literal["malignant", "benign"]


def _check_share(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise TemplateError(f"{name} must lie between 0 and 1, got {value}")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image, or one of its frames.

    Attributes:
        frame_number: 1-based; None for an image that is not multi-frame (PS3.3 section 10.3).
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None = None


@dataclass(frozen=True, slots=True)
class SemanticValue:
    """One semantic feature; `confidence` in 0..1, `value` None where it was not assessed."""

    name: str
    value: float | str | None
    unit: str
    provenance: Provenance
    confidence: float | None = None

    def __post_init__(self) -> None:
        _check_share(f"confidence of {self.name}", self.confidence)

    @property
    def silent(self) -> bool:
        """Nothing was measured or read."""
        return self.value is None or self.provenance == "not assessed"


@dataclass(frozen=True, slots=True)
class Assessment:
    """A probability of malignancy and the class it means at the operating point.

    Attributes:
        probability: 0..1.
        threshold: The operating point, a probability.
        sensitivity: At the operating point, cross-validated, 0..1; None if not known.
        specificity: Likewise.
        model: Which of the bundle's models answered.
        fallback_reason: Why it was not the best one; "" if it was.
        prior_shift: The configured prevalence that the probability was shifted to, if any.
        influences: The most influential features with their signed contributions.
    """

    probability: float
    malignancy: Malignancy
    threshold: float
    model: str
    sensitivity: float | None = None
    specificity: float | None = None
    fallback_reason: str = ""
    out_of_distribution: bool = False
    prior_shift: float | None = None
    influences: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("probability", "threshold", "sensitivity", "specificity", "prior_shift"):
            _check_share(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class NotAssessed:
    """An explicit refusal: the pipeline's reason in kebab-case and what to do about it."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class LesionValues:
    """What the report says about one segment.

    Attributes:
        name: How sentences call the lesion.
        tracking_uid: Equal to that of the segment (PS3.3 section C.8.20.2).
        verdict: The assessment, or why there is none.
        source: The assessed frame; None if it could not be told.
        segmentation: The frame of the SEG on which the mask lies, if any.
        outline: Closed polygon of (column, row) as SCOORD counts them: the top left corner of
            the top left pixel is (0, 0) (PS3.3 section C.18.6.1.1); empty for none.
        image_inferred: The SEG did not name the image.
    """

    name: str
    tracking_identifier: str
    tracking_uid: str
    verdict: Assessment | NotAssessed
    semantic: tuple[SemanticValue, ...] = ()
    source: ImageReference | None = None
    segmentation: ImageReference | None = None
    outline: tuple[tuple[float, float], ...] = ()
    finding_site: Code | None = None
    image_inferred: bool = False

    def __post_init__(self) -> None:
        if not (self.tracking_identifier and self.tracking_uid):
            raise TemplateError("a lesion needs a tracking identifier and a tracking UID")
        if self.outline and (len(self.outline) < 4 or self.outline[0] != self.outline[-1]):
            raise TemplateError("an outline is a closed polygon: its first point comes last again")
        if (self.outline or self.segmentation) and self.source is None:
            raise TemplateError("an outline and a segmentation need the image that they lie on")


@dataclass(frozen=True, slots=True)
class AlgorithmValues:
    """The algorithm and the bundle that answered (TID 4019).

    `settings_sha256` is the hash of how every feature was measured.
    """

    name: str
    version: str
    bundle_name: str
    bundle_sha256: str
    settings_sha256: str
    simulated: bool
    population: str
    prevalence: float

    def __post_init__(self) -> None:
        _check_share("prevalence", self.prevalence)


@dataclass(frozen=True, slots=True)
class ReportValues:
    """Everything that the content tree of one report says."""

    title: Literal["oncology", "imaging"]
    algorithm: AlgorithmValues
    lesions: tuple[LesionValues, ...]
    images: tuple[ImageReference, ...]
    device_uid: str

    def __post_init__(self) -> None:
        if not self.lesions:
            raise TemplateError("a report speaks of at least one lesion")
