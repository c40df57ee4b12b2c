"""The ledger tables, append-only, and the chain that proves them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from node.audit.tables.base import SHA256, UID, Base, Id


def _few(name: str, condition: str) -> Index:
    """An index over the time of those few rows that a question is about."""
    return Index(name, "at", postgresql_where=text(condition), sqlite_where=text(condition))


class Ledger:
    """Columns that every ledger table has; rows are only ever inserted.

    `seal` shows that a process of the node wrote the row (`node.audit.seal`).
    """

    __tablename__: str

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Index, ...]:  # noqa: N805 - SQLAlchemy's
        """What people did, among all that the node did."""
        return (_few(f"ix_{cls.__tablename__}_person", "actor LIKE 'person:%'"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    schema_version: Mapped[int] = mapped_column(default=1)
    actor: Mapped[str] = mapped_column(String(80))
    event: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(80), index=True)
    study_instance_uid: Mapped[str] = mapped_column(UID, default="", index=True)
    patient_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    detail: Mapped[dict[str, Any]]
    seal: Mapped[str] = mapped_column(String(80), default="")


class ChainLink(Base):
    """A batch of committed rows of one ledger, fixed for ever; it rests on the link before.

    `row_ids` are 8 bytes a row, little-endian; `row_hashes` 32 bytes a row, in the same order.
    """

    __tablename__ = "chain"
    position: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    ledger: Mapped[str] = mapped_column(String(16))
    row_ids: Mapped[bytes] = mapped_column(LargeBinary)
    row_hashes: Mapped[bytes] = mapped_column(LargeBinary)
    previous_sha256: Mapped[str] = mapped_column(SHA256)
    sha256: Mapped[str] = mapped_column(SHA256)
    seal: Mapped[str] = mapped_column(SHA256)
    made_at: Mapped[datetime]


class LedgerSystem(Ledger, Base):
    """Start, stop, refused configuration, activation of a bundle."""

    __tablename__ = "ledger_system"


class LedgerAssociation(Ledger, Base):
    """Associations: opened, rejected, closed, aborted. Subject: the association id."""

    __tablename__ = "ledger_association"
    __table_args__ = (
        _few(  # who, as the view of accesses names it
            "ix_ledger_association_person",
            "coalesce(detail ->> 'calling_ae', actor) LIKE 'person:%'",
        ),
        _few("ix_ledger_association_rejected", "event = 'rejected'"),
    )


class LedgerInstance(Ledger, Base):
    """Instances: received, refused, ... Subject: the SOP Instance UID."""

    __tablename__ = "ledger_instance"
    __table_args__ = (
        _few("ix_ledger_instance_person", "actor LIKE 'person:%'"),
        _few("ix_ledger_instance_refused", "event = 'refused'"),
    )


class LedgerCase(Ledger, Base):
    """Cases: paired, assigned. Subject: the case name."""

    __tablename__ = "ledger_case"


class LedgerJob(Ledger, Base):
    """Every change of a job's state. Subject: `<SEG UID>/<generation>`."""

    __tablename__ = "ledger_job"


class LedgerFinding(Ledger, Base):
    """Findings, complete. Subject: the case name."""

    __tablename__ = "ledger_finding"


class LedgerReport(Ledger, Base):
    """Report objects with their hashes. Subject: their SOP Instance UID."""

    __tablename__ = "ledger_report"


class LedgerReading(Ledger, Base):
    """Readings and outcomes: received, applied, refused. Subject: the source."""

    __tablename__ = "ledger_reading"


class LedgerDelivery(Ledger, Base):
    """Attempts and proofs. Subject: the SOP Instance UID that was delivered."""

    __tablename__ = "ledger_delivery"


class LedgerAccess(Ledger, Base):
    """Logins, refusals, changes of users and tokens. Subject: the user, token or route."""

    __tablename__ = "ledger_access"


LEDGERS: dict[str, type[Ledger]] = {
    "system": LedgerSystem,
    "association": LedgerAssociation,
    "instance": LedgerInstance,
    "case": LedgerCase,
    "job": LedgerJob,
    "finding": LedgerFinding,
    "report": LedgerReport,
    "delivery": LedgerDelivery,
    "reading": LedgerReading,
    "access": LedgerAccess,
}
