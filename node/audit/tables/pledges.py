"""Storage commitment that modalities ask of us."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import UID, Base, Id


class Pledge(Base):
    """A modality's question whether it may delete its copies (PS3.4 annex J).

    `state`: asked, decided (the result is not with the modality yet), reported, dead (it could not
    be told). `items`: SOP class UIDs by SOP Instance UID. `results`: 0 (an archive has it) or the
    Failure Reason, by SOP Instance UID. `root`: transactions that we ask of archives lie below it.
    `reporter`: who is telling the modality at the moment, since `claimed_at`.
    """

    __tablename__ = "pledge"
    __table_args__ = (UniqueConstraint("calling_ae", "transaction_uid"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(UID)
    calling_ae: Mapped[str] = mapped_column(String(16))
    association_id: Mapped[str | None] = mapped_column(String(36))
    state: Mapped[str] = mapped_column(String(16), index=True)
    items: Mapped[dict[str, Any]]
    results: Mapped[dict[str, Any]]
    root: Mapped[str] = mapped_column(UID, unique=True)
    tries: Mapped[int]
    reporter: Mapped[str] = mapped_column(String(16))
    claimed_at: Mapped[datetime | None]
    detail: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
