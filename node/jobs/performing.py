"""Workitems of others that this node has claimed: what they wait for, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Instance, Job, PerformedWorkitem, Report
from node.audit.trail import Trail
from node.database import lock, read_only, utc_now
from node.jobs.dispatching import NOTES
from node.jobs.pairing_question import SEGMENTATIONS
from node.jobs.stages import family

_OVER = frozenset({"done", "refused"})


@dataclass(frozen=True, slots=True)
class Output:
    """One object that was made for a workitem."""

    study: str
    series: str
    sop_class: str
    sop_instance: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed workitem and how it stands here.

    Attributes:
        missing: Instances that it names and the node does not have, by study.
        failure: Why nothing will come of it; "" while something may.
        finished: Every SEG of it has its report.
        outputs: What was made.
        reason: The latest that was told about it.
    """

    uid: str
    transaction_uid: str
    claimed_at: datetime
    reason: str
    missing: Mapping[str, tuple[str, ...]]
    failure: str
    finished: bool
    outputs: tuple[Output, ...]


def claim(
    database: Database,
    trail: Trail,
    uid: str,
    server: str,
    transaction_uid: str,
    inputs: Mapping[str, Sequence[str]],
    priority: str = "",
) -> bool:
    """Note that a workitem is to be claimed, before the server is asked; False if it is known."""
    now = utc_now()
    with database.begin() as connection:
        lock(connection, f"performed {uid}")
        known = select(PerformedWorkitem.id).where(PerformedWorkitem.uid == uid)
        if connection.scalar(known) is not None:
            return False
        connection.execute(
            insert(PerformedWorkitem).values(
                uid=uid,
                server=server[:64],
                transaction_uid=transaction_uid,
                state="claimed",
                reason="",
                inputs={study: list(uids) for study, uids in inputs.items()},
                priority=priority[:16],
                claimed_at=now,
                updated_at=now,
            )
        )
        _note(connection, trail, uid, "workitem-claimed", inputs, {"server": server})
    return True


def settle(database: Database, trail: Trail, uid: str, state: str, reason: str) -> None:
    """Note what became of a claimed workitem: completed, canceled or lost; or what is told now."""
    with database.begin() as connection:
        lock(connection, f"performed {uid}")
        row = connection.execute(
            select(PerformedWorkitem.__table__).where(PerformedWorkitem.uid == uid)
        ).one()
        if row.state != "claimed" or (row.state, row.reason) == (state, reason):
            return
        connection.execute(
            update(PerformedWorkitem)
            .where(PerformedWorkitem.uid == uid)
            .values(state=state, reason=reason, updated_at=utc_now())
        )
        event = "workitem-progress" if state == "claimed" else f"workitem-{state}"
        _note(connection, trail, uid, event, row.inputs, {"reason": reason})


def wish_cancelled(database: Database, trail: Trail, uid: str, wish: str) -> None:
    """Note that somebody wants a workitem cancelled; one that is over, or not ours, stays."""
    with database.begin() as connection:
        lock(connection, f"performed {uid}")
        row = connection.execute(
            select(PerformedWorkitem.__table__).where(PerformedWorkitem.uid == uid)
        ).one_or_none()
        if row is None or row.state != "claimed":
            return
        connection.execute(
            update(PerformedWorkitem)
            .where(PerformedWorkitem.uid == uid)
            .values(cancel_wish=wish, updated_at=utc_now())
        )
        _note(connection, trail, uid, "workitem-cancel-asked", row.inputs, {"wish": wish})


def claimed(database: Database) -> list[Claimed]:
    """Return every workitem that is claimed and not settled, oldest first."""
    with read_only(database) as connection:
        rows = connection.execute(
            select(PerformedWorkitem.__table__)
            .where(PerformedWorkitem.state == "claimed")
            .order_by(PerformedWorkitem.id)
        ).all()
        return [_standing(connection, row) for row in rows]


def _standing(connection: Connection, row: Row[Any]) -> Claimed:
    named = {uid for uids in row.inputs.values() for uid in uids}
    here = connection.execute(
        select(
            Instance.sop_instance_uid, Instance.sop_class_uid, Instance.study_instance_uid
        ).where(
            Instance.standing == "current",
            Instance.study_instance_uid.in_(row.inputs) | Instance.sop_instance_uid.in_(named),
        )
    ).all()
    there = {one.sop_instance_uid for one in here}
    lacking = {
        study: tuple(uid for uid in uids if uid not in there) for study, uids in row.inputs.items()
    }
    segs = {
        one.sop_instance_uid
        for one in here
        if one.sop_class_uid in SEGMENTATIONS
        and (one.sop_instance_uid in named or not row.inputs.get(one.study_instance_uid, [""]))
    }
    jobs = _latest_jobs(connection, segs)
    dead = [job for job in jobs.values() if job.state == "dead"]
    failure = f"not assessed: {dead[0].reason}" if dead else str(row.cancel_wish)
    if not row.inputs:
        failure = "the workitem names no study as its input"
    finished = bool(segs) and len(jobs) == len(segs) and {j.state for j in jobs.values()} <= _OVER
    return Claimed(
        uid=row.uid,
        transaction_uid=row.transaction_uid,
        claimed_at=row.claimed_at,
        reason=row.reason,
        missing={study: uids for study, uids in lacking.items() if uids},
        failure=failure,
        finished=finished and not any(lacking.values()),
        outputs=_outputs(connection, [job.id for job in jobs.values()]),
    )


def _latest_jobs(connection: Connection, segs: set[str]) -> dict[str, Row[Any]]:
    query = select(Job.__table__).where(Job.seg_uid.in_(segs)).order_by(Job.generation)
    return {job.seg_uid: job for job in connection.execute(query).all()}


def _outputs(connection: Connection, jobs: list[int]) -> tuple[Output, ...]:
    rows = connection.execute(
        select(Report.__table__).where(Report.job_id.in_(jobs)).order_by(Report.id)
    )
    return tuple(
        Output(
            row.study_instance_uid, row.series_instance_uid, row.sop_class_uid, row.sop_instance_uid
        )
        for row in rows
        if family(row.kind) not in NOTES
    )


def _note(
    connection: Connection,
    trail: Trail,
    uid: str,
    event: str,
    inputs: Mapping[str, Sequence[str]],
    facts: Mapping[str, Any],
) -> None:
    trail.record(connection, "system", event, uid, facts, study=next(iter(inputs), ""))
