"""Unified Procedure Steps: those that the node manages, and those that it performs for others."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import UID, Base, Id


class Workitem(Base):
    """A workitem of the node's own worklist.

    `dataset` is the DICOM JSON model (PS3.18 annex F) without the Transaction UID, which locks it
    while it is in progress and is never told.
    """

    __tablename__ = "workitem"
    __table_args__ = (Index("ix_workitem_state_updated_at", "state", "updated_at"),)
    uid: Mapped[str] = mapped_column(UID, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    transaction_uid: Mapped[str] = mapped_column(UID, default="")
    study_instance_uid: Mapped[str] = mapped_column(UID, default="", index=True)
    patient_id: Mapped[str] = mapped_column(String(64), default="")
    dataset: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class WorkitemSubscription(Base):
    """An AE that hears of a workitem; `workitem_uid` "" is every workitem, also later ones."""

    __tablename__ = "workitem_subscription"
    ae_title: Mapped[str] = mapped_column(String(16), primary_key=True)
    workitem_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    deletion_lock: Mapped[bool] = mapped_column(Boolean, default=False)
    subscribed_at: Mapped[datetime]


class PerformedWorkitem(Base):
    """A workitem of somebody else's worklist that this node has claimed.

    `state`: claimed, completed, canceled, lost (the server took it away). `inputs` holds the study
    and the instances that it names, `cancel_wish` who wants it cancelled and why, `priority` is
    Scheduled Procedure Step Priority (0074,1200).
    """

    __tablename__ = "performed_workitem"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    uid: Mapped[str] = mapped_column(UID, unique=True)
    server: Mapped[str] = mapped_column(String(64))
    transaction_uid: Mapped[str] = mapped_column(UID)
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    cancel_wish: Mapped[str] = mapped_column(Text, default="", server_default="")
    priority: Mapped[str] = mapped_column(String(16), default="", server_default="")
    inputs: Mapped[dict[str, Any]]
    claimed_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class PerformedStep(Base):
    """A Modality Performed Procedure Step; `dataset` is the DICOM JSON model."""

    __tablename__ = "performed_step"
    uid: Mapped[str] = mapped_column(UID, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    dataset: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class StudyCompletion(Base):
    """A study that somebody told to be complete; `expected` names the instances of it."""

    __tablename__ = "study_completion"
    study_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    source: Mapped[str] = mapped_column(String(80))
    expected: Mapped[dict[str, Any]]
    told_at: Mapped[datetime]
