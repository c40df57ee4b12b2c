"""The states of a job, and the one way to change them: work row and ledger row together."""

from __future__ import annotations

import logging
from typing import Any, Literal

from sqlalchemy import Connection, Row, select, update

from node.audit.tables import Job
from node.audit.trail import Trail
from node.database import lock, utc_now
from node.errors import JobError

_log = logging.getLogger(__name__)

State = Literal["waiting", "queued", "running", "delivering", "done", "refused", "held", "dead"]

#: What may follow what. `dead` and `refused` come back to life only by a person's retry, and a
#: finished job delivers again only when a person withdraws its report.
FOLLOWERS: dict[State, frozenset[State]] = {
    "waiting": frozenset({"waiting", "queued", "held", "refused", "done", "dead"}),
    "held": frozenset({"waiting", "queued", "held", "refused", "done", "dead"}),
    "queued": frozenset({"running", "queued", "dead"}),
    "running": frozenset({"running", "queued", "delivering", "done", "refused", "dead"}),
    "delivering": frozenset({"delivering", "done", "refused", "dead"}),
    "done": frozenset({"delivering"}),
    "refused": frozenset({"waiting", "delivering"}),
    "dead": frozenset({"waiting", "queued", "delivering"}),
}


def may_follow(before: State, after: State) -> bool:
    """Tell whether a job may go from one state to another."""
    return after in FOLLOWERS[before]


def find(connection: Connection, job_id: int) -> Row[Any]:
    """Return the job's row.

    Raises:
        JobError: If there is no such job.
    """
    row = connection.execute(select(Job.__table__).where(Job.id == job_id)).one_or_none()
    if row is None:
        raise JobError(f"there is no job {job_id}")
    return row


def hold(connection: Connection, job_id: int) -> Row[Any]:
    """Return the job's row and keep others from holding it until this transaction ends.

    Call it before the first read of the transaction.

    Raises:
        JobError: If there is no such job.
    """
    lock(connection, f"job {job_id}")
    return find(connection, job_id)


def change(
    connection: Connection,
    trail: Trail,
    job: Row[Any],
    state: State,
    reason: str = "",
    **columns: Any,  # noqa: ANN401 - further columns of the job
) -> None:
    """Change a job's state, with its ledger row.

    Raises:
        JobError: If the state cannot follow the present one, or the job has changed since `job`
            was read; the transaction must then be rolled back and may be begun anew.
    """
    if not may_follow(job.state, state):
        raise JobError(f"job {job.id} is {job.state}; it cannot become {state}")
    changed = connection.execute(
        update(Job)
        .where(Job.id == job.id, Job.state == job.state, Job.run == job.run)
        # A job that goes on needs its instances again, and its report is kept anew.
        .values(state=state, reason=reason, updated_at=utc_now(), expired_at=None, **columns)
    )
    if changed.rowcount != 1:
        raise JobError(f"job {job.id} has changed meanwhile; try again")
    if state != job.state:
        _log.info("job %d becomes %s", job.id, state, extra={"study": job.study_instance_uid})
    if state != job.state or reason != job.reason:
        trail.record(
            connection,
            "job",
            state,
            subject(job.seg_uid, job.generation),
            {"job": job.id, "from": job.state, "reason": reason},
            study=job.study_instance_uid,
            patient=job.patient_id,
        )


def subject(seg_uid: str, generation: int) -> str:
    """Return the ledger's name of a job."""
    return f"{seg_uid}/{generation}"
