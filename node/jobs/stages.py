"""What the stages are asked and answer: the port between the jobs and the rooms above them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from node.case import Case, CaseResult, Finding, FrameReference, InstanceHeader, Pairing
from node.jobs.edge import FetchAnswer, FetchQuestion, Routing, RoutingFacts, no_rules

if TYPE_CHECKING:  # the receiver and the sender read no reports
    from sr_templates.readings import ReportRead


@dataclass(frozen=True, slots=True)
class StoredReading:
    """What a person read of one lesion, and which lesion that is as far as the source says.

    Attributes:
        source: SOP Instance UID of the SR.
        tracking_uid: "" where the source names none; so are the others.
        images: SOP Instance UIDs of the images that it was read on.
        features: Values in the finding's words and units.
    """

    source: str
    reader: str
    read_at: str
    tracking_uid: str
    seg_uid: str
    segment_number: int | None
    images: tuple[str, ...]
    features: Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class PairingQuestion:
    """All that pairing may know about one SEG at one moment.

    Attributes:
        seg: The SEG.
        seg_received_at: When it was acknowledged.
        images: Every current image of the SEG's study and every one that it refers to, by SOP
            Instance UID.
        siblings: The other current SEGs of the study, oldest first.
        assignment: The frame that a person chose, if any.
        study_changed_at: When the latest instance of the study was acknowledged.
        study_arriving: An association that carries the study is still open.
        study_complete: Somebody told that the study is complete, and all that was named is here.
        now: The moment.
        readings: What people read in the study, in the order of arrival.
    """

    seg: InstanceHeader
    seg_received_at: datetime
    images: Mapping[str, InstanceHeader]
    siblings: Sequence[InstanceHeader]
    assignment: FrameReference | None
    study_changed_at: datetime
    study_arriving: bool
    now: datetime
    readings: Sequence[StoredReading] = ()
    study_complete: bool = False


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An acknowledged instance: its header and where its bytes lie."""

    header: InstanceHeader
    path: Path


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The SR that a new one supersedes (PS3.3 section C.17.2.2)."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True)
class Prior:
    """What an earlier report of ours said about the patient, in another study.

    Attributes:
        tracking_uid: Of the lesion, "" where its SEG named none.
        date: Of its study, ISO 8601; of the report where the study has none.
        prior_shift: The prevalence that its probability was shifted to, if any.
    """

    sop_instance_uid: str
    tracking_uid: str
    date: str
    probability: float
    diameter_mm: float | None
    bundle_name: str
    bundle_version: str
    prior_shift: float | None


@dataclass(frozen=True, slots=True)
class EarlierQuestion:
    """Whose earlier reports an archive is asked for; `study_date` is DA, "" for none."""

    patient_id: str
    issuer: str
    study_instance_uid: str
    study_date: str


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """What an archive said.

    Attributes:
        destination: Its name.
        priors: Of the reports that stand, complete also where there is a failure.
        failure: Why there may be more, "" where it answered.
    """

    destination: str
    priors: tuple[Prior, ...]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class AssessmentRequest:
    """One SEG instance and generation to assess and report.

    Attributes:
        installation_uid: Root of every UID that we derive.
        instances: The SEGs and images that the cases refer to, by SOP Instance UID.
        when: The content date and time of the report.
        priors: Earlier reports of the patient, newest first; whether a report tells of them is
            configured.
        bundle: Which bundle answers; "" is the one that serves.
    """

    installation_uid: str
    seg_uid: str
    generation: int
    cases: tuple[Case, ...]
    instances: Mapping[str, StoredInstance]
    predecessor: Predecessor | None
    when: datetime
    priors: tuple[Prior, ...] = ()
    bundle: str = ""


@dataclass(frozen=True, slots=True)
class ReportObject:
    """One object of a report: a complete Part 10 file in memory."""

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Assessment:
    """What came of a request: a result a case and the objects to deliver.

    Attributes:
        shadow: What a second bundle said, a finding a case; for the audit only.
        shadow_failure: Why it said nothing although there is one.
    """

    results: tuple[CaseResult, ...]
    objects: tuple[ReportObject, ...]
    shadow: tuple[Finding, ...] = ()
    shadow_failure: str = ""


@dataclass(frozen=True, slots=True)
class RejectedObject:
    """One object that a destination should no longer show."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a rejection note is made of (IHE RAD, Imaging Object Change Management).

    Attributes:
        kind: `superseded` or `withdrawn`; decides the title of the note.
        report: The stored SR that is rejected.
        objects: The SR and what was sent with it.
        reason: In words.
        installation_uid: Root of the UIDs that are derived.
        when: Content date and time of the note.
    """

    kind: Literal["superseded", "withdrawn"]
    report: Path
    objects: tuple[RejectedObject, ...]
    reason: str
    installation_uid: str
    when: datetime


def family(kind: str) -> str:
    """Return the kind without its number: `sc` of `sc-2`."""
    return kind.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Wish:
    """What one destination wants of a report.

    Attributes:
        kinds: The companions that it gets beside the SR.
        refusals: It gets reports in which every lesion was refused.
        reject_superseded: It gets a rejection note for what a new report supersedes.
        commits: What it has is proven by storage commitment.
    """

    name: str
    kinds: frozenset[str] = frozenset({"sc"})
    refusals: bool = True
    reject_superseded: bool = False
    commits: bool = False

    def takes(self, kind: str) -> bool:
        """Tell whether it gets an object of a kind such as `sr`, `sc-1` or `gsps-2`."""
        return family(kind) in {"sr", *self.kinds}


@dataclass(frozen=True, slots=True)
class Parcel:
    """One stored report object to be delivered.

    Attributes:
        sent: The destination accepted it before, or may have.
        transaction_root: Below which the attempt numbers its storage commitment requests; "" for
            a destination that is not asked for any.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    path: Path
    sent: bool
    transaction_root: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one parcel in one attempt.

    Attributes:
        state: `proven`, `sent` (accepted, not yet proven) or `failed`.
        permanent: Trying again will not help.
        down: The destination did not answer, or has no room: the parcel is not the reason.
    """

    sop_instance_uid: str
    state: str
    error: str = ""
    permanent: bool = False
    down: bool = False


@dataclass(frozen=True, slots=True)
class Stages:
    """The rooms above, as the jobs see them; `service` fills in those that a role needs.

    Attributes:
        earlier: Asks an archive for a patient's earlier reports; None asks nobody.
        fetch_after_s: Seconds until the sources are asked for what a case misses; None: there
            is no source.
        fetch: Asks them; only in the role that does.
        route: What the rules decide before an assessment, and after it.
    """

    pair: Callable[[PairingQuestion], Pairing]
    read: Callable[[Path], ReportRead]
    assess: Callable[[AssessmentRequest], Assessment]
    deliver: Callable[[str, Sequence[Parcel]], Sequence[Receipt]]
    retry_after: Callable[[int, Sequence[Receipt]], float | None]
    reject: Callable[[Rejection], ReportObject]
    destinations: tuple[Wish, ...]
    earlier: Callable[[EarlierQuestion], EarlierAnswer] | None = None
    fetch_after_s: float | None = None
    fetch: Callable[[FetchQuestion], Sequence[FetchAnswer]] | None = None
    route: Callable[[RoutingFacts], Routing] = no_rules
