"""The tables. *Work* tables hold the current state and change; *ledger* tables are append-only.

Every change of a work row writes its ledger row in the same transaction (`trail.record`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from node.database import UtcDateTime

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER primary keys
_UID = String(64)  # PS3.5 section 6.2, VR UI
_SHA256 = String(64)


class Base(DeclarativeBase):
    """The one metadata that migrations compare with the database."""

    type_annotation_map = {dict[str, Any]: JSON, datetime: UtcDateTime}  # noqa: RUF012 - SQLAlchemy's


class Installation(Base):
    """One row: this installation's UID, the root of every UID that we derive."""

    __tablename__ = "installation"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    uid: Mapped[str] = mapped_column(_UID)
    created_at: Mapped[datetime]


class Association(Base):
    """A DICOM association that is open or was; pairing asks which studies are still arriving."""

    __tablename__ = "association"
    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    calling_ae: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(64))
    receiver: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None] = mapped_column(index=True)


class Instance(Base):
    """An acknowledged instance; every version of a SOP Instance UID is kept, one is current.

    `standing`: `current`, `superseded` (older demographics, same pixels), `duplicate` (same
    bytes), `conflict` (same UID, other pixels; kept, never used), `own` (our report came back),
    `expired` (its time is over, `expired_at` says when; the bytes are gone, the row stays).
    """

    __tablename__ = "instance"
    __table_args__ = (
        UniqueConstraint("sop_instance_uid", "version"),
        Index("ix_instance_study", "study_instance_uid", "standing"),
    )
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID)
    version: Mapped[int]
    standing: Mapped[str] = mapped_column(String(16))
    sop_class_uid: Mapped[str] = mapped_column(_UID)
    study_instance_uid: Mapped[str] = mapped_column(_UID)
    series_instance_uid: Mapped[str] = mapped_column(_UID)
    modality: Mapped[str] = mapped_column(String(16))
    patient_id: Mapped[str] = mapped_column(String(64), index=True)
    blob_sha256: Mapped[str] = mapped_column(_SHA256, index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    header: Mapped[dict[str, Any]]
    source: Mapped[str] = mapped_column(String(80))
    association_id: Mapped[str | None] = mapped_column(ForeignKey("association.id"))
    received_at: Mapped[datetime] = mapped_column(index=True)
    expired_at: Mapped[datetime | None]


class Job(Base):
    """The work that one SEG instance and generation makes: one report.

    `state`: waiting, queued, running, delivering, done, refused, held, dead. `expired_at`: since
    then the bytes of its report are gone, and it keeps no instance any more.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("seg_uid", "generation"),
        Index("ix_job_state_updated_at", "state", "updated_at"),
        Index("ix_job_expired_at_updated_at", "expired_at", "updated_at"),
    )
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    seg_uid: Mapped[str] = mapped_column(_UID)
    generation: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    study_instance_uid: Mapped[str] = mapped_column(_UID, index=True)
    patient_id: Mapped[str] = mapped_column(String(64), index=True)
    cases: Mapped[dict[str, Any]]
    run: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expired_at: Mapped[datetime | None]


class JobInstance(Base):
    """An instance that a job needs, or needed; while the job has not expired it is kept."""

    __tablename__ = "job_instance"
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID, primary_key=True, index=True)


class JobNeed(Base):
    """An instance that a waiting job still misses."""

    __tablename__ = "job_need"
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID, primary_key=True, index=True)


class Assignment(Base):
    """The image that a person chose for a SEG without source references."""

    __tablename__ = "assignment"
    seg_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID)
    frame_number: Mapped[int]
    assigned_by: Mapped[str] = mapped_column(String(64))
    assigned_at: Mapped[datetime]


class FindingRow(Base):
    """What the pipeline said about one case of one job."""

    __tablename__ = "finding"
    __table_args__ = (UniqueConstraint("job_id", "case_name"),)
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    case_name: Mapped[str] = mapped_column(String(80), index=True)
    status: Mapped[str] = mapped_column(String(16))
    probability: Mapped[float | None]
    malignancy: Mapped[str | None] = mapped_column(String(16))
    refusal_code: Mapped[str | None] = mapped_column(String(32))
    bundle_sha256: Mapped[str] = mapped_column(_SHA256)
    finding: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(index=True)


class Report(Base):
    """One object (SR or companion) of a job's report; its bytes never change once stored."""

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("job_id", "kind"),)
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    kind: Mapped[str] = mapped_column(String(16))
    sop_class_uid: Mapped[str] = mapped_column(_UID)
    sop_instance_uid: Mapped[str] = mapped_column(_UID, unique=True)
    series_instance_uid: Mapped[str] = mapped_column(_UID)
    study_instance_uid: Mapped[str] = mapped_column(_UID, index=True)
    blob_sha256: Mapped[str] = mapped_column(_SHA256, index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class Delivery(Base):
    """One report object on its way to one destination.

    `state`: pending, sent (accepted, not proven), proven, dead. `absent`: a storage commitment
    result said that the destination does not have it, so the next attempt sends it unasked.
    """

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("report_id", "destination"),)
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id"))
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(Text, default="")
    absent: Mapped[bool] = mapped_column(default=False, server_default=false())
    updated_at: Mapped[datetime]


class Commitment(Base):
    """A delivery that an attempt may ask storage commitment for, written before it asks.

    `transaction_root`: its requests are numbered below it (`<root>.1`). An archive that takes its
    time may answer an early request after later ones were made: all are known.
    """

    __tablename__ = "commitment"
    transaction_root: Mapped[str] = mapped_column(_UID, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(
        ForeignKey("delivery.id", ondelete="CASCADE"), primary_key=True
    )
    asked_at: Mapped[datetime]


class ReadingRow(Base):
    """A radiologist's semantic features for a lesion, from an SR or the web form.

    `tracking_uid`, `seg_uid` and `segment_number` say which lesion, as far as the source does.
    `features` are in the finding's words; `verified`: the SR was VERIFIED. `detail` holds the
    images that it was read on.
    """

    __tablename__ = "reading"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    source: Mapped[str] = mapped_column(String(80), index=True)
    study_instance_uid: Mapped[str] = mapped_column(_UID, index=True)
    patient_id: Mapped[str] = mapped_column(String(64), index=True)
    tracking_uid: Mapped[str] = mapped_column(_UID, default="", index=True)
    seg_uid: Mapped[str] = mapped_column(_UID, default="", index=True)
    segment_number: Mapped[int | None]
    reader: Mapped[str] = mapped_column(String(324), default="")  # PN: five components
    read_at: Mapped[str] = mapped_column(String(32), default="")
    verified: Mapped[bool] = mapped_column(default=False)
    features: Mapped[dict[str, Any]]
    detail: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Outcome(Base):
    """What a lesion turned out to be: by a verified SR, or by pathology.

    `case_name` is empty where only the patient and study are known. `malignant` is NULL where the
    source only agrees or disagrees with a report of ours (`agrees`).
    """

    __tablename__ = "outcome"
    __table_args__ = (UniqueConstraint("source", "case_name", "study_instance_uid", "patient_id"),)
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(80))
    case_name: Mapped[str] = mapped_column(String(80), default="", index=True)
    study_instance_uid: Mapped[str] = mapped_column(_UID, default="", index=True)
    patient_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    malignant: Mapped[bool | None]
    agrees: Mapped[bool | None]
    detail: Mapped[dict[str, Any]]
    observed_at: Mapped[str] = mapped_column(String(32), default="")
    created_at: Mapped[datetime]


class Activation(Base):
    """A bundle made to serve or to shadow; the newest row of a `role` wins over node.toml."""

    __tablename__ = "activation"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    bundle: Mapped[str] = mapped_column(Text)
    bundle_sha256: Mapped[str] = mapped_column(_SHA256)
    activated_by: Mapped[str] = mapped_column(String(64))
    activated_at: Mapped[datetime]


class ShadowFinding(Base):
    """What the shadow bundle would have said about a case; it reaches no report."""

    __tablename__ = "shadow_finding"
    __table_args__ = (UniqueConstraint("job_id", "case_name", "bundle_sha256"),)
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    case_name: Mapped[str] = mapped_column(String(80), index=True)
    bundle_sha256: Mapped[str] = mapped_column(_SHA256)
    status: Mapped[str] = mapped_column(String(16))
    probability: Mapped[float | None]
    malignancy: Mapped[str | None] = mapped_column(String(16))
    finding: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Withdrawal(Base):
    """A report that should no longer be shown: withdrawn by a person, or superseded.

    `report_id` is the SR; `note_id` the rejection note that was sent for it, where one was.
    """

    __tablename__ = "withdrawal"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id"), unique=True)
    note_id: Mapped[int | None] = mapped_column(ForeignKey("report.id"))
    kind: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    withdrawn_by: Mapped[str] = mapped_column(String(64))
    withdrawn_at: Mapped[datetime]


class Follower(Base):
    """How far a reader of the chain has come: the rows up to `offset` in link `position`."""

    __tablename__ = "follower"
    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
    offset: Mapped[int]
    updated_at: Mapped[datetime]


class Notice(Base):
    """What a person is told, once a channel; `topic` is what makes two notices the same."""

    __tablename__ = "notice"
    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    topic: Mapped[str] = mapped_column(String(160), index=True)
    channel: Mapped[str] = mapped_column(String(16))
    content: Mapped[dict[str, Any]]
    made_at: Mapped[datetime]
    sent_at: Mapped[datetime | None] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)


class Lease(Base):
    """An executor's sign of life."""

    __tablename__ = "lease"
    executor_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    beat_at: Mapped[datetime]


class _Ledger:
    """Columns that every ledger table has; rows are only ever inserted.

    `seal` shows that a process of the node wrote the row (`node.audit.seal`).
    """

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    schema_version: Mapped[int] = mapped_column(default=1)
    actor: Mapped[str] = mapped_column(String(80))
    event: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(80), index=True)
    study_instance_uid: Mapped[str] = mapped_column(_UID, default="", index=True)
    patient_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    detail: Mapped[dict[str, Any]]
    seal: Mapped[str] = mapped_column(String(80), default="")


class ChainLink(Base):
    """A batch of committed rows of one ledger, fixed for ever; it rests on the link before.

    `row_ids` are 8 bytes a row, little-endian; `row_hashes` 32 bytes a row, in the same order.
    """

    __tablename__ = "chain"
    position: Mapped[int] = mapped_column(_Id, primary_key=True, autoincrement=False)
    ledger: Mapped[str] = mapped_column(String(16))
    row_ids: Mapped[bytes] = mapped_column(LargeBinary)
    row_hashes: Mapped[bytes] = mapped_column(LargeBinary)
    previous_sha256: Mapped[str] = mapped_column(_SHA256)
    sha256: Mapped[str] = mapped_column(_SHA256)
    seal: Mapped[str] = mapped_column(_SHA256)
    made_at: Mapped[datetime]


class LedgerSystem(_Ledger, Base):
    """Start, stop, refused configuration, activation of a bundle."""

    __tablename__ = "ledger_system"


class LedgerAssociation(_Ledger, Base):
    """Associations: opened, rejected, closed, aborted. Subject: the association id."""

    __tablename__ = "ledger_association"


class LedgerInstance(_Ledger, Base):
    """Instances: received, refused, ... Subject: the SOP Instance UID."""

    __tablename__ = "ledger_instance"


class LedgerCase(_Ledger, Base):
    """Cases: paired, assigned. Subject: the case name."""

    __tablename__ = "ledger_case"


class LedgerJob(_Ledger, Base):
    """Every change of a job's state. Subject: `<SEG UID>/<generation>`."""

    __tablename__ = "ledger_job"


class LedgerFinding(_Ledger, Base):
    """Findings, complete. Subject: the case name."""

    __tablename__ = "ledger_finding"


class LedgerReport(_Ledger, Base):
    """Report objects with their hashes. Subject: their SOP Instance UID."""

    __tablename__ = "ledger_report"


class LedgerReading(_Ledger, Base):
    """Readings and outcomes: received, applied, refused. Subject: the source."""

    __tablename__ = "ledger_reading"


class LedgerDelivery(_Ledger, Base):
    """Attempts and proofs. Subject: the SOP Instance UID that was delivered."""

    __tablename__ = "ledger_delivery"


LEDGERS: dict[str, type[_Ledger]] = {
    "system": LedgerSystem,
    "association": LedgerAssociation,
    "instance": LedgerInstance,
    "case": LedgerCase,
    "job": LedgerJob,
    "finding": LedgerFinding,
    "report": LedgerReport,
    "delivery": LedgerDelivery,
    "reading": LedgerReading,
}
