"""What goes into a report and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.case import CaseResult
from node.config import ReportSettings
from node.errors import ReportError


@dataclass(frozen=True, slots=True)
class ReportedBundle:
    """The bundle as the report names it.

    Attributes:
        sha256: Of the bundle, 64 hexadecimal digits.
        settings_sha256: Of its feature settings, likewise.
        simulated: It was trained on simulated data, and every object says so.
        population: The training population in words.
        prevalence: Of malignancy in that population, 0..1.
    """

    name: str
    version: str
    sha256: str
    settings_sha256: str
    simulated: bool
    population: str
    prevalence: float


ObjectKind = Literal["sr", "sc", "pdf", "seg", "gsps", "ko"]


class Predecessor(NamedTuple):
    """The report that this one supersedes."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True)
class PriorAssessment:
    """What an earlier report of this node said about the patient.

    Attributes:
        date: Of the earlier report's study, else of the report.
        probability: Of malignancy, 0..1, as it was reported.
        diameter_mm: The maximum diameter, None where it was not said.
        sop_instance_uid: Of the earlier SR.
        bundle_name: Of the bundle that answered; only the same bundle is compared.
        bundle_version: Likewise.
        tracking_uid: Of the lesion; "" where the earlier report cannot be tied to one lesion, and
            is said to be the patient's.
        prior_shift: The prevalence that its probability was shifted to, None for the training's;
            only probabilities for the same prevalence are compared.

    Raises:
        ReportError: If the probability or the diameter is none.
    """

    date: date
    probability: float
    diameter_mm: float | None
    sop_instance_uid: str
    bundle_name: str
    bundle_version: str
    tracking_uid: str = ""
    prior_shift: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ReportError(f"an earlier probability must lie in 0..1, got {self.probability}")
        if self.diameter_mm is not None and not self.diameter_mm > 0:
            raise ReportError(f"an earlier diameter must be above 0 mm, got {self.diameter_mm}")


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Everything a report is built from; the same request gives the same bytes.

    Attributes:
        findings: One a segment, in the order of the report.
        seg: The header of the SEG instance.
        images: The ultrasound headers by SOP Instance UID, each in its newest form.
        uids: Gives the UID of an object kind: "sr", "sr-series", "sc-1", "sc-2", ...,
            "sc-series", likewise for the other companions, "frame-of-reference-1",
            "tracking-<segment number>" for a segment without one, and "device",
            which names the installation and is the same for all its reports.
        when: Content date and time, in the archive's local time.
        generation: 1 for the first look at a SEG.
        predecessor: The report that this one supersedes: of the generation before, or of an
            earlier SEG of the same lesion (class, instance, series, study UID).
        software_version: Of this package.
        priors: Earlier assessments of the patient, in any order.
        masks: What was assessed, by case name, (rows, columns) of the assessed image; only the
            `seg` companion needs them.

    Raises:
        ReportError: If the findings, the SEG and the generation do not belong together.
    """

    findings: tuple[CaseResult, ...]
    seg: Dataset
    images: Mapping[str, Dataset]
    bundle: ReportedBundle
    uids: Callable[[str], str]
    when: datetime
    settings: ReportSettings
    software_version: str
    generation: int = 1
    predecessor: tuple[str, str, str, str] | None = None
    priors: tuple[PriorAssessment, ...] = ()
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.findings:
            raise ReportError("a report needs at least one finding")
        strangers = {result.case.seg_uid for result in self.findings} - {self.seg.SOPInstanceUID}
        if strangers:
            raise ReportError(f"findings of another SEG in one report: {', '.join(strangers)}")
        if self.generation < 1:
            raise ReportError(f"generations start at 1, got {self.generation}")


@dataclass(frozen=True, slots=True)
class ReportObject:
    """One object to deliver: a complete Part 10 file in Explicit VR Little Endian."""

    kind: ObjectKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    data: bytes
