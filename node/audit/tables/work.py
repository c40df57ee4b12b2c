"""The work that SEG instances make, and what each job needs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import UID, Base, Id

_PROVEN: dict[str, Any] = {
    "postgresql_where": text("proven_at IS NOT NULL"),
    "sqlite_where": text("proven_at IS NOT NULL"),
}
_ACTIVE: dict[str, Any] = {
    "postgresql_where": text("state IN ('queued', 'running')"),
    "sqlite_where": text("state IN ('queued', 'running')"),
}


class Job(Base):
    """The work that one SEG instance and generation makes: one report.

    `state`: waiting, queued, running, delivering, done, refused, held, dead. `expired_at`: since
    then the bytes of its report are gone, and it keeps no instance any more.

    `priority` (stat, high, routine, low) and `bundle` ("" is the one that serves) are what routing
    rules decided; `sender` and `turn` say when it is served among jobs of the same priority.

    `received_at` is when the SEG's first version came, `assessed_at` when its findings were stored,
    `proven_at` when every object of its report was first proven everywhere, `total_s` the seconds
    from the first to the last: a question over a million jobs must not join them together.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("seg_uid", "generation"),
        Index("ix_job_state_updated_at", "state", "updated_at"),
        Index("ix_job_expired_at_updated_at", "expired_at", "updated_at"),
        Index("ix_job_received_at_total_s", "received_at", "total_s", **_PROVEN),
        Index("ix_job_total_s", "total_s", **_PROVEN),
        Index("ix_job_sender_turn", "sender", "turn", **_ACTIVE),
        Index("ix_job_turn", "turn", **_ACTIVE),
        Index("ix_job_updated_at", "updated_at"),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    seg_uid: Mapped[str] = mapped_column(UID)
    generation: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    study_instance_uid: Mapped[str] = mapped_column(UID, index=True)
    patient_id: Mapped[str] = mapped_column(String(64), index=True)
    cases: Mapped[dict[str, Any]]
    run: Mapped[int] = mapped_column(default=0)
    priority: Mapped[str] = mapped_column(String(8), default="routine", server_default="routine")
    bundle: Mapped[str] = mapped_column(Text, default="", server_default="")
    sender: Mapped[str] = mapped_column(String(80), default="", server_default="")
    turn: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expired_at: Mapped[datetime | None]
    received_at: Mapped[datetime | None]
    assessed_at: Mapped[datetime | None]
    proven_at: Mapped[datetime | None]
    total_s: Mapped[float | None]


class JobInstance(Base):
    """An instance that a job needs, or needed; while the job has not expired it is kept."""

    __tablename__ = "job_instance"
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True, index=True)


class JobNeed(Base):
    """An instance that a waiting job still misses."""

    __tablename__ = "job_need"
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True, index=True)
