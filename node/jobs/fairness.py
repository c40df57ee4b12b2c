"""Whose turn it is: a sender that sends much does not keep another from being served.

Start-time fair queueing (Goyal, Vin and Cheng, 1996) with every job of the same cost. A job's turn
is one after its sender's last, but not before the first turn that is still in the queue: who sent
nothing for a while joins where the others are and gains no credit. Turns begin anew whenever the
queue is empty.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from node.audit.tables import Instance, Job

#: Jobs that wait for a worker or are with one.
ACTIVE = ("queued", "running")


def next_turn(last_of_sender: int | None, first_of_all: int | None) -> int:
    """Return the turn of a sender's next job.

    Args:
        last_of_sender: The highest turn among the sender's active jobs, None without one.
        first_of_all: The lowest turn among all active jobs, None without one.
    """
    own = 0 if last_of_sender is None else last_of_sender + 1
    return max(own, first_of_all or 0)


def take_turn(connection: Connection, seg_uid: str) -> tuple[str, int]:
    """Return who sent a SEG, and the turn of its job among the active ones."""
    sender = connection.scalar(
        select(Instance.source).where(Instance.sop_instance_uid == seg_uid, Instance.version == 1)
    )
    active = Job.state.in_(ACTIVE)
    last = select(func.max(Job.turn)).where(active, Job.sender == (sender or ""))
    first = select(func.min(Job.turn)).where(active)
    return sender or "", next_turn(connection.scalar(last), connection.scalar(first))
