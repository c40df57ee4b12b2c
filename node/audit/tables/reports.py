"""What was found, the reports of it, and their way into the archives."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Date,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import SHA256, UID, Base, Id


class FindingRow(Base):
    """What the pipeline said about one case of one job."""

    __tablename__ = "finding"
    __table_args__ = (
        UniqueConstraint("job_id", "case_name"),
        Index(
            "ix_finding_refused",
            "created_at",
            postgresql_where=text("status = 'refused'"),
            sqlite_where=text("status = 'refused'"),
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    case_name: Mapped[str] = mapped_column(String(80), index=True)
    status: Mapped[str] = mapped_column(String(16))
    probability: Mapped[float | None]
    malignancy: Mapped[str | None] = mapped_column(String(16))
    refusal_code: Mapped[str | None] = mapped_column(String(32))
    bundle_sha256: Mapped[str] = mapped_column(SHA256)
    finding: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(index=True)


class ModelUsage(Base):
    """How often a model of a bundle answered on a day (UTC), kept as findings come and go.

    Every transaction that stores findings adds to one of a few shards, so that no worker waits for
    another's count; `probabilities` is the sum over the `scored` cases.
    """

    __tablename__ = "model_usage"
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    bundle_sha256: Mapped[str] = mapped_column(SHA256, primary_key=True)
    model: Mapped[str] = mapped_column(String(64), primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True)
    cases: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[int] = mapped_column(BigInteger)
    malignant: Mapped[int] = mapped_column(BigInteger)
    scored: Mapped[int] = mapped_column(BigInteger)
    probabilities: Mapped[float]


class Report(Base):
    """One object (SR or companion) of a job's report; its bytes never change once stored."""

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("job_id", "kind"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    kind: Mapped[str] = mapped_column(String(16))
    sop_class_uid: Mapped[str] = mapped_column(UID)
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    study_instance_uid: Mapped[str] = mapped_column(UID, index=True)
    blob_sha256: Mapped[str] = mapped_column(SHA256, index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class Delivery(Base):
    """One report object on its way to one destination.

    `state`: pending, sent (accepted, not proven), proven, dead. `absent`: a storage commitment
    result said that the destination does not have it, so the next attempt sends it unasked.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("report_id", "destination"),
        Index("ix_delivery_state_destination", "state", "destination"),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id"))
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
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
    transaction_root: Mapped[str] = mapped_column(UID, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(
        ForeignKey("delivery.id", ondelete="CASCADE"), primary_key=True
    )
    asked_at: Mapped[datetime]


class Withdrawal(Base):
    """A report that should no longer be shown: withdrawn by a person, or superseded.

    `report_id` is the SR; `note_id` the rejection note that was sent for it, where one was.
    """

    __tablename__ = "withdrawal"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id"), unique=True)
    note_id: Mapped[int | None] = mapped_column(ForeignKey("report.id"))
    kind: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    withdrawn_by: Mapped[str] = mapped_column(String(64))
    withdrawn_at: Mapped[datetime]
