"""What came in, and over which association."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import SHA256, UID, Base, Id

# A search from the beginning is a range; only by bytes is that the same in every locale.
_BY_BYTES = String(324).with_variant(String(324, collation="C"), "postgresql")


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
        Index(
            "ix_instance_conflict",
            "received_at",
            postgresql_where=text("standing = 'conflict'"),
            sqlite_where=text("standing = 'conflict'"),
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID)
    version: Mapped[int]
    standing: Mapped[str] = mapped_column(String(16))
    sop_class_uid: Mapped[str] = mapped_column(UID)
    study_instance_uid: Mapped[str] = mapped_column(UID)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    modality: Mapped[str] = mapped_column(String(16))
    patient_id: Mapped[str] = mapped_column(String(64), index=True)
    blob_sha256: Mapped[str] = mapped_column(SHA256, index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    header: Mapped[dict[str, Any]]
    source: Mapped[str] = mapped_column(String(80))
    association_id: Mapped[str | None] = mapped_column(ForeignKey("association.id"))
    received_at: Mapped[datetime] = mapped_column(index=True)
    expired_at: Mapped[datetime | None]


class Assignment(Base):
    """The image that a person chose for a SEG without source references."""

    __tablename__ = "assignment"
    seg_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID)
    frame_number: Mapped[int]
    assigned_by: Mapped[str] = mapped_column(String(64))
    assigned_at: Mapped[datetime]


class Study(Base):
    """A study of which an instance is or was here; a trigger on `instance` writes it.

    `name_key` is the patient's name in lower case with spaces, for search from its beginning;
    `received_at` that of the first instance, so that a list in this order never moves.
    """

    __tablename__ = "study"
    __table_args__ = (
        Index("ix_study_received_at", "received_at", "study_instance_uid"),
        Index("ix_study_study_date", "study_date", "study_instance_uid"),
    )
    study_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    patient_id: Mapped[str] = mapped_column(String(64), index=True)
    patient_name: Mapped[str] = mapped_column(String(324))  # PN: five components
    name_key: Mapped[str] = mapped_column(_BY_BYTES, index=True)
    accession_number: Mapped[str] = mapped_column(String(64), index=True)
    study_date: Mapped[str] = mapped_column(String(16))
    description: Mapped[str] = mapped_column(String(64))
    received_at: Mapped[datetime]
