"""The latest jobs with what came of them, as the page and the JSON show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from node.audit.tables import Delivery, FindingRow, Job
from node.database import read_only

# A destination is as far as the object that is furthest behind.
_WORST_FIRST = ("dead", "pending", "sent", "proven")


@dataclass(frozen=True, slots=True)
class CaseLine:
    """One case of a job; `probability` of malignancy is None where it was refused."""

    case: str
    status: str
    probability: float | None
    malignancy: str | None
    refusal: str | None


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job; `deliveries` are (destination, state) pairs."""

    id: int
    state: str
    reason: str
    patient_id: str
    study_instance_uid: str
    seg_uid: str
    generation: int
    updated_at: datetime
    cases: tuple[CaseLine, ...]
    deliveries: tuple[tuple[str, str], ...]


def latest_jobs(engine: Engine, limit: int = 100) -> tuple[JobLine, ...]:
    """Return the jobs that changed last, newest first."""
    with read_only(engine) as connection:
        jobs = connection.execute(
            select(
                Job.id,
                Job.state,
                Job.reason,
                Job.patient_id,
                Job.study_instance_uid,
                Job.seg_uid,
                Job.generation,
                Job.updated_at,
            )
            .order_by(Job.updated_at.desc(), Job.id.desc())
            .limit(limit)
        ).all()
        ids = [job.id for job in jobs]
        cases = _cases(connection, ids)
        deliveries = _deliveries(connection, ids)
    return tuple(
        JobLine(*job, tuple(cases.get(job.id, ())), deliveries.get(job.id, ())) for job in jobs
    )


def _cases(connection: Connection, jobs: Sequence[int]) -> dict[int, list[CaseLine]]:
    found: dict[int, list[CaseLine]] = {}
    rows = connection.execute(
        select(
            FindingRow.job_id,
            FindingRow.case_name,
            FindingRow.status,
            FindingRow.probability,
            FindingRow.malignancy,
            FindingRow.refusal_code,
        )
        .where(FindingRow.job_id.in_(jobs))
        .order_by(FindingRow.id)
    )
    for job, case, status, probability, malignancy, refusal in rows:
        line = CaseLine(case, status, probability, malignancy, refusal)
        found.setdefault(job, []).append(line)
    return found


def _deliveries(
    connection: Connection, jobs: Sequence[int]
) -> dict[int, tuple[tuple[str, str], ...]]:
    states: dict[int, dict[str, set[str]]] = {}
    rows = connection.execute(
        select(Delivery.job_id, Delivery.destination, Delivery.state)
        .where(Delivery.job_id.in_(jobs))
        .order_by(Delivery.destination)
    )
    for job, destination, state in rows:
        states.setdefault(job, {}).setdefault(destination, set()).add(state)
    return {
        job: tuple(
            (name, next((worst for worst in _WORST_FIRST if worst in found), "pending"))
            for name, found in destinations.items()
        )
        for job, destinations in states.items()
    }
