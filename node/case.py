"""The frozen values that pass from room to room: headers, cases, pairings and findings.

Words as in DESIGN: a *case* is one lesion to assess, a *finding* is what the pipeline says
about it, a *refusal* is an explicit "not assessed" with a reason code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Provenance = Literal["measured", "read", "header", "not assessed"]


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 section 8.8): value, scheme designator and meaning."""

    value: str
    scheme: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class FrameReference:
    """One frame of one instance.

    Attributes:
        sop_instance_uid: The instance.
        frame_number: 1-based (PS3.3 section 10.3); a still has frame 1 only.
    """

    sop_instance_uid: str
    frame_number: int = 1

    def __post_init__(self) -> None:
        if self.frame_number < 1:
            raise ValueError(f"frame numbers start at 1, got {self.frame_number}")


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """One item of the Segment Sequence (PS3.3 section C.8.20.2) with the frames it lies on."""

    number: int
    label: str
    tracking_uid: str = ""
    tracking_id: str = ""
    category: Code | None = None
    type: Code | None = None
    anatomic_region: Code | None = None
    sources: tuple[FrameReference, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """What the node remembers of an instance without its pixels.

    Attributes:
        pixels_sha256: SHA-256 of the encoded masks of a SEG, of a document, and of the pixels
            of what came under a known UID; else "". It tells an update of the demographics from
            a conflict.
        colour_flow: The header says that colour flow is shown: Ultrasound Color Data Present
            (0028,0014), a colour-flow region (PS3.3 section C.8.5.5.1.2) or Image Type value 4.
        requested_priority: Requested Procedure Priority (0040,1003), of the instance or of the
            request that it answers.
        segments: For SEG instances only.
        references: Every SOP Instance UID that the instance refers to, in order.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str = ""
    patient_id: str = ""
    patient_name: str = ""
    issuer_of_patient_id: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    patient_age: str = ""
    study_date: str = ""
    accession_number: str = ""
    study_description: str = ""
    series_description: str = ""
    body_part_examined: str = ""
    anatomic_region: Code | None = None
    manufacturer: str = ""
    manufacturer_model_name: str = ""
    content_creator_name: str = ""
    requested_priority: str = ""
    rows: int = 0
    columns: int = 0
    number_of_frames: int = 1
    colour_flow: bool = False
    pixels_sha256: str = ""
    segments: tuple[SegmentHeader, ...] = ()
    references: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON column; `dataclasses.asdict` would copy every text."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["segments"] = [dataclasses.asdict(segment) for segment in self.segments]
        region = self.anatomic_region
        values["anatomic_region"] = None if region is None else dataclasses.asdict(region)
        return values

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InstanceHeader:
        """Rebuild the header that `to_json` wrote."""
        values = dict(data)
        values["segments"] = tuple(_segment(item) for item in values.get("segments", ()))
        values["references"] = tuple(values.get("references", ()))
        values["anatomic_region"] = _code(values.get("anatomic_region"))
        return cls(**values)


def _code(data: Mapping[str, str] | None) -> Code | None:
    return None if data is None else Code(**data)


def _segment(data: Mapping[str, Any]) -> SegmentHeader:
    values = dict(data)
    for name in ("category", "type", "anatomic_region"):
        values[name] = _code(values.get(name))
    values["sources"] = tuple(FrameReference(**item) for item in values.get("sources", ()))
    return SegmentHeader(**values)


@dataclass(frozen=True, slots=True)
class Reading:
    """A radiologist's semantic features for a case; they replace the measured ones.

    Attributes:
        source: SOP Instance UID of the SR, or `web:<id>` for the console's form.
        reader: Who read, as the SR's person observer names them.
        read_at: ISO 8601 date and time of the reading, "" if it does not say.
        semantic: Values by feature name, in the finding's own words and units (mm); what was
            not read is absent.
    """

    source: str
    reader: str
    read_at: str
    semantic: Mapping[str, float | str]

    def __post_init__(self) -> None:
        if not self.semantic:
            raise ValueError("a reading says at least one feature")


@dataclass(frozen=True, slots=True)
class Case:
    """One lesion to assess: a segment, the frames it may be read on and the Doppler, if any.

    Attributes:
        name: `<SEG SOP Instance UID>#<segment number>`, the `case` of every finding.
        sources: Candidate frames; the one with the largest area is assessed.
        doppler: Frames of a colour image on which a segment of the same tracking UID lies:
            (SEG SOP Instance UID, segment number, frame). Flow is measured only there.
        inferred: The image was not referenced but fits alone by study, rows and columns.
        reading: What a radiologist read, if anybody did.
    """

    name: str
    seg_uid: str
    segment_number: int
    label: str
    tracking_uid: str
    tracking_id: str
    sources: tuple[FrameReference, ...]
    doppler: tuple[tuple[str, int, FrameReference], ...] = ()
    inferred: bool = False
    reading: Reading | None = None

    def instances(self) -> set[str]:
        """Return the SOP Instance UIDs of everything that the assessment may read."""
        uids = {self.seg_uid, *(frame.sop_instance_uid for frame in self.sources)}
        for seg_uid, _, frame in self.doppler:
            uids.update((seg_uid, frame.sop_instance_uid))
        return uids

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON column."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Case:
        """Rebuild the case that `to_json` wrote."""
        values = dict(data)
        values["sources"] = tuple(FrameReference(**item) for item in values["sources"])
        values["doppler"] = tuple(
            (uid, number, FrameReference(**frame)) for uid, number, frame in values["doppler"]
        )
        reading = values.get("reading")  # cases stored by version 0.1 have none
        values["reading"] = None if reading is None else Reading(**reading)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Pairing:
    """What pairing decided about one SEG instance.

    Attributes:
        state: `ready` to assess; `waiting` for `missing` instances; `pending` until `wait_s`
            seconds have passed (a Doppler image may come, the study is not quiet yet); `held`
            until a person assigns the image; `ineligible` by the intended-use gate;
            `companion` where the SEG only lends another SEG its Doppler mask.
    """

    state: Literal["ready", "waiting", "pending", "held", "ineligible", "companion"]
    cases: tuple[Case, ...] = ()
    missing: tuple[str, ...] = ()
    wait_s: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a case was not assessed: a code in kebab-case and a sentence that says what to do."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class SemanticFinding:
    """One semantic feature with where it came from; confidence in 0..1 or None."""

    value: float | str | None
    unit: str
    provenance: Provenance
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class BundleIdentity:
    """The bundle that answered: its name, version and SHA-256."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What the pipeline says about one case; the JSON of it is the same everywhere.

    Attributes:
        probability: Of malignancy, 0..1; None where refused.
        malignancy: `malignant` or `benign` at the threshold (JSON key `class`); None where
            refused, and where the model abstained.
        threshold: The operating point, a probability.
        model: Which of the bundle's models answered.
        fallback_reason: Why it was not the best one; "" if it was.
        features_sha256: Hash of all numbers that the model saw.
        timings_ms: Milliseconds a stage.
    """

    case: str
    status: Literal["assessed", "refused"]
    probability: float | None
    malignancy: Literal["malignant", "benign"] | None
    threshold: float | None
    model: str | None
    fallback_reason: str
    refusal: Refusal | None
    semantic: Mapping[str, SemanticFinding]
    features_sha256: str
    bundle: BundleIdentity
    device: str
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.status == "refused") != (self.refusal is not None):
            raise ValueError("a finding is refused exactly when it carries a refusal")
        if (self.status == "assessed") != (self.probability is not None):
            raise ValueError("a finding has a probability exactly when it is assessed")

    def to_json(self) -> dict[str, Any]:
        """Return the finding with the keys of the contract, in its order."""
        data = dataclasses.asdict(self)
        data["class"] = data.pop("malignancy")
        keys = (
            "case status probability class threshold model fallback_reason refusal semantic "
            "features_sha256 bundle device timings_ms"
        )
        return {key: data[key] for key in keys.split()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Rebuild the finding that `to_json` wrote."""
        values = dict(data)
        values["malignancy"] = values.pop("class")
        values["refusal"] = None if values["refusal"] is None else Refusal(**values["refusal"])
        values["semantic"] = {k: SemanticFinding(**v) for k, v in values["semantic"].items()}
        values["bundle"] = BundleIdentity(**values["bundle"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a report shows beside the finding, in pixels of the assessed frame.

    Attributes:
        frame: The assessed frame (of the US instance).
        seg_frame_number: The frame of the SEG whose mask was used, 1-based.
        outline: Closed polygon, (points, 2) as (column, row), first point repeated last; empty
            where there is no mask to draw.
        diameter: The two end points of the maximum diameter, (2, 2) as (column, row), or None.
        picture: The frame as (rows, columns, 3) uint8 RGB, or None if it could not be decoded.
        sensitivity: Of the answering model at its threshold, cross-validated, 0..1.
        specificity: Likewise.
        influences: The most influential features: (name, signed contribution).
        out_of_distribution: The case lies outside what the bundle was trained on.
        abstention: Why the finding gives no class although it was assessed; "" if it does.
        prior_shift: The prevalence that was applied instead of the training one, if any.
        device_note: Why the backbone did not run where it was asked to; "" where it did.
        inputs: The features that the answering model saw, by name; empty where refused.
    """

    frame: FrameReference | None
    seg_frame_number: int | None
    outline: NDArray[np.float64]
    diameter: NDArray[np.float64] | None
    picture: NDArray[np.uint8] | None
    sensitivity: float | None = None
    specificity: float | None = None
    influences: tuple[tuple[str, float], ...] = ()
    out_of_distribution: bool = False
    abstention: str = ""
    prior_shift: float | None = None
    device_note: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case with its finding and what a report needs to show it."""

    case: Case
    finding: Finding
    evidence: Evidence
