"""What radiologists and pathologists say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import UID, Base, Id


class ReadingRow(Base):
    """A radiologist's semantic features for a lesion, from an SR or the web form.

    `tracking_uid`, `seg_uid` and `segment_number` say which lesion, as far as the source does.
    `features` are in the finding's words; `verified`: the SR was VERIFIED. `detail` holds the
    images that it was read on.
    """

    __tablename__ = "reading"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    source: Mapped[str] = mapped_column(String(80), index=True)
    study_instance_uid: Mapped[str] = mapped_column(UID, index=True)
    patient_id: Mapped[str] = mapped_column(String(64), index=True)
    tracking_uid: Mapped[str] = mapped_column(UID, default="", index=True)
    seg_uid: Mapped[str] = mapped_column(UID, default="", index=True)
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
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(80))
    case_name: Mapped[str] = mapped_column(String(80), default="", index=True)
    study_instance_uid: Mapped[str] = mapped_column(UID, default="", index=True)
    patient_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    malignant: Mapped[bool | None]
    agrees: Mapped[bool | None]
    detail: Mapped[dict[str, Any]]
    observed_at: Mapped[str] = mapped_column(String(32), default="")
    created_at: Mapped[datetime]
