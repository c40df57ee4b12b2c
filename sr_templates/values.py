"""The frozen values that a report is built from: the report's own vocabulary.

This package knows nothing of the node; `node.report` translates findings into these values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from sr_templates.codes import Code
from sr_templates.errors import TemplateError

Provenance = Literal["measured", "read", "header", "not assessed"]
_PN_LENGTH: Final = 64
Malignancy = Literal["malignant", "benign", "indeterminate"]


def person_value(name: str) -> str:
    """Return a name as one component group of a PN value (PS3.5 section 6.2).

    A backslash would make two values of it, and "=" another representation.
    """
    return name.replace("\\", " ").replace("=", " ").strip()[:_PN_LENGTH].rstrip()


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
    """One semantic feature.

    Attributes:
        value: None where it was not assessed.
        confidence: 0..1, if any.
        reader: Who read it, where its provenance is `read` and the reading says so.
    """

    name: str
    value: float | str | None
    unit: str
    provenance: Provenance
    confidence: float | None = None
    reader: str = ""

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
        malignancy: `indeterminate` where no class is given.
        threshold: The operating point, a probability.
        sensitivity: At the operating point, cross-validated, 0..1; None if not known.
        specificity: Likewise.
        model: Which of the bundle's models answered.
        fallback_reason: Why it was not the best one; "" if it was.
        prior_shift: The configured prevalence that the probability was shifted to, if any.
        influences: The most influential features with their signed contributions.
        abstention: Why no class is given; "" where one is.
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
    abstention: str = ""

    def __post_init__(self) -> None:
        if (self.malignancy == "indeterminate") != bool(self.abstention):
            raise TemplateError("a class is indeterminate exactly when the model abstained")
        for name in ("probability", "threshold", "sensitivity", "specificity", "prior_shift"):
            _check_share(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class NotAssessed:
    """An explicit refusal: the pipeline's reason in kebab-case and what to do about it."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class PriorValues:
    """What an earlier report said.

    Attributes:
        probability: 0..1.
        diameter_mm: None where it was not said.
        comparable: The same bundle answered, for the same prevalence.
    """

    date: date
    probability: float
    diameter_mm: float | None
    bundle_name: str
    bundle_version: str
    comparable: bool

    def __post_init__(self) -> None:
        _check_share("an earlier probability", self.probability)


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
        caliper: The two end points of the measured maximum diameter, likewise; or none.
        image_inferred: The SEG did not name the image.
        priors: Earlier assessments of this lesion, latest first.
    """

    name: str
    tracking_identifier: str
    tracking_uid: str
    verdict: Assessment | NotAssessed
    semantic: tuple[SemanticValue, ...] = ()
    source: ImageReference | None = None
    segmentation: ImageReference | None = None
    outline: tuple[tuple[float, float], ...] = ()
    caliper: tuple[tuple[float, float], ...] = ()
    finding_site: Code | None = None
    image_inferred: bool = False
    priors: tuple[PriorValues, ...] = ()

    def __post_init__(self) -> None:
        if not (self.tracking_identifier and self.tracking_uid):
            raise TemplateError("a lesion needs a tracking identifier and a tracking UID")
        if self.outline and (len(self.outline) < 4 or self.outline[0] != self.outline[-1]):
            raise TemplateError("an outline is a closed polygon: its first point comes last again")
        if len(self.caliper) not in (0, 2):
            raise TemplateError(f"a caliper has two end points, not {len(self.caliper)}")
        if (self.outline or self.segmentation or self.caliper) and self.source is None:
            raise TemplateError(
                "an outline, a caliper and a segmentation need the image that they lie on"
            )


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
    """Everything that the content tree of one report says.

    Attributes:
        priors: Earlier assessments of the patient that belong to no lesion here, latest first.
    """

    title: Literal["oncology", "imaging"]
    algorithm: AlgorithmValues
    lesions: tuple[LesionValues, ...]
    images: tuple[ImageReference, ...]
    device_uid: str
    priors: tuple[PriorValues, ...] = ()

    def __post_init__(self) -> None:
        if not self.lesions:
            raise TemplateError("a report speaks of at least one lesion")
