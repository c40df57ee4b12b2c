"""Destinations that are down, and the deliveries that wait for them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import Base


class CircuitRow(Base):
    """What is known of a destination that has not answered; no row: nothing bad.

    `state`: closed, open (down), ramp (has just come up). `round` numbers the valid tickets.
    """

    __tablename__ = "circuit"
    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    failures: Mapped[int]
    round: Mapped[int]
    changed_at: Mapped[datetime]


class InLine(Base):
    """A job whose delivery waits for a destination that is down, once however often it comes.

    `ticket`: the round that lets it go, 0 while it waits. `due_at`: when it goes, or joined the
    line; the line is in this order.
    """

    __tablename__ = "in_line"
    __table_args__ = (Index("ix_in_line_destination", "destination", "ticket", "due_at"),)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    run: Mapped[int]
    attempt: Mapped[int]
    ticket: Mapped[int]
    since: Mapped[datetime]
    due_at: Mapped[datetime]
