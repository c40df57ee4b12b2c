"""Retention by size: what is proven or unused expires earlier while the store holds too much.

The terms are shortened step by step and every other rule stays: nothing goes that is undelivered,
queued, needed by a case, or younger than a day. So the oldest goes first, to within a fifth of its
age.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Instance, Job, Report
from node.database import read_only, utc_now
from node.jobs.retention import Expired, Keeper, Terms

_LOG = logging.getLogger(__name__)
_SHORTER: Final = 0.8


def held_bytes(database: Database) -> int:
    """Return how much the store holds by its rows: what was received and what was made."""
    received = select(func.coalesce(func.sum(Instance.size), 0)).where(
        Instance.standing != "expired"
    )
    made = (
        select(func.coalesce(func.sum(Report.size), 0))
        .join(Job, Job.id == Report.job_id)
        .where(Job.expired_at.is_(None))
    )
    with read_only(database) as connection:
        return int(connection.scalar(received) or 0) + int(connection.scalar(made) or 0)


def make_room(house: Keeper, maximum_bytes: int, now: datetime | None = None) -> Expired:
    """Let expire, oldest first, until the store holds no more than `maximum_bytes`.

    Args:
        house: With the terms of the configuration, which have been executed.
        maximum_bytes: 0 sets no limit.
        now: For tests.

    Returns:
        What has expired; all of the store where even that was not enough.
    """
    now, terms = now or utc_now(), house.terms
    jobs = instances = 0
    held = held_bytes(house.database) if maximum_bytes else 0
    before = held
    while held > maximum_bytes > 0 and (shorter := _shorter(terms)) != terms:
        terms = shorter
        expired = replace(house, terms=terms).expire(now)
        jobs, instances = jobs + expired.jobs, instances + expired.instances
        held = held_bytes(house.database)
    if jobs or instances:
        facts = {"held": before, "left": held, "maximum": maximum_bytes, "jobs": jobs}
        facts |= {"instances": instances, "proven_days": terms.proven_days}
        with house.database.begin() as connection:
            house.trail.record(connection, "system", "retention-shortened", "blobs", facts)
    if held > maximum_bytes > 0:
        _LOG.warning(
            "%d MiB above retention.maximum_gib are undelivered, in use or younger than a day",
            (held - maximum_bytes) >> 20,
        )
    return Expired(jobs, instances, before - held)


def _shorter(terms: Terms) -> Terms:
    return Terms(
        max(1, int(terms.unreferenced_days * _SHORTER)), max(1, int(terms.proven_days * _SHORTER))
    )
