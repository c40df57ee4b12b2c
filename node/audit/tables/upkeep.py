"""What the node keeps about itself: who it is, who lives, who was told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import UID, Base, Id


class Installation(Base):
    """One row: this installation's UID, the root of every UID that we derive."""

    __tablename__ = "installation"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    uid: Mapped[str] = mapped_column(UID)
    created_at: Mapped[datetime]


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
    id: Mapped[int] = mapped_column(Id, primary_key=True)
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


class SavedQuery(Base):
    """A question to the audit that a person keeps; `question` holds the fields of the form."""

    __tablename__ = "saved_query"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    question: Mapped[dict[str, Any]]
    saved_by: Mapped[str] = mapped_column(String(80))
    saved_at: Mapped[datetime]
