"""What waits for a person: dead jobs, held and waiting cases; what moves, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, literal, select, tuple_

from node.audit.tables import Delivery, Instance, Job, JobNeed, LedgerInstance
from node.case import InstanceHeader
from node.database import UtcDateTime, read_only
from node.errors import InputError

PAGE: Final = 25
SHELVES: Final[Mapping[str, tuple[str, ...]]] = {
    "dead": ("dead",),
    "held": ("held", "waiting"),
    "moving": ("queued", "running", "delivering"),
    "refused": ("refused",),
}
_MOST_CANDIDATES: Final = 12


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that a SEG may have been drawn on: same study, rows and columns."""

    study: str
    series: str
    instance: str
    frames: int
    description: str
    colour_flow: bool

    @property
    def thumbnail(self) -> str:
        """Where the node renders it small."""
        path = f"/dicom-web/studies/{self.study}/series/{self.series}/instances/{self.instance}"
        return f"{path}/thumbnail"


@dataclass(frozen=True, slots=True)
class Failure:
    """One job with why it is where it is.

    Attributes:
        deliveries: Those that are not proven: (destination, state, attempts, last error).
        missing: Instances that it waits for.
        candidates: Images that a person may assign; for held and waiting jobs.
    """

    job: int
    state: str
    reason: str
    seg_uid: str
    generation: int
    study: str
    patient_id: str
    updated_at: datetime
    deliveries: tuple[tuple[str, str, int, str], ...]
    missing: tuple[str, ...]
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    """One page of a kind of failures, and the key of the next one."""

    name: str
    counts: Mapping[str, int]
    failures: tuple[Failure, ...]
    next: str


@dataclass(frozen=True, slots=True)
class RefusedInstance:
    """An instance that was not accepted."""

    at: datetime
    subject: str
    study: str
    reason: str
    source: str


def shelf(database: Engine, name: str, after: str = "", size: int = PAGE) -> Shelf:
    """Return one page of a shelf, what changed last first.

    Raises:
        InputError: If there is no such shelf, or `after` is no key.
    """
    if name not in SHELVES:
        raise InputError(f"there is no list {name!r}; there are {', '.join(SHELVES)}")
    with read_only(database) as connection:
        counts = _counts(connection)
        query = select(Job.__table__).where(Job.state.in_(SHELVES[name]))
        if after:
            at, number = _key(after)
            query = query.where(
                tuple_(Job.updated_at, Job.id) < tuple_(literal(at, UtcDateTime()), literal(number))
            )
        query = query.order_by(Job.updated_at.desc(), Job.id.desc())
        rows = connection.execute(query.limit(size + 1)).all()
        following = ""
        if len(rows) > size:
            following = f"{rows[size - 1].updated_at.isoformat()}~{rows[size - 1].id}"
        jobs = [row.id for row in rows[:size]]
        deliveries = _deliveries(connection, jobs)
        missing = _missing(connection, jobs)
        failures = tuple(
            Failure(
                job=row.id,
                state=row.state,
                reason=row.reason,
                seg_uid=row.seg_uid,
                generation=row.generation,
                study=row.study_instance_uid,
                patient_id=row.patient_id,
                updated_at=row.updated_at,
                deliveries=tuple(deliveries.get(row.id, ())),
                missing=tuple(missing.get(row.id, ())),
                candidates=_candidates(connection, row.study_instance_uid, row.seg_uid)
                if name == "held"
                else (),
            )
            for row in rows[:size]
        )
    return Shelf(name, counts, failures, following)


def refused_instances(database: Engine, limit: int = 20) -> tuple[RefusedInstance, ...]:
    """Return the instances that were refused last."""
    query = (  # by time: refusals have an index of their own
        select(LedgerInstance)
        .where(LedgerInstance.event == "refused")
        .order_by(LedgerInstance.at.desc())
        .limit(limit)
    )
    with read_only(database) as connection:
        rows = connection.execute(query).all()
    return tuple(
        RefusedInstance(
            row.at,
            row.subject,
            row.study_instance_uid,
            str(row.detail.get("reason", "")),
            str(row.detail.get("source", "")),
        )
        for row in rows
    )


def _key(after: str) -> tuple[datetime, int]:
    at, _, number = after.partition("~")
    gone = "this page is not there any more; go to the first one"
    try:
        moment, job = datetime.fromisoformat(at), int(number)
    except ValueError as error:
        raise InputError(gone) from error
    if moment.tzinfo is None:
        raise InputError(gone)
    return moment, job


def _counts(connection: Connection) -> dict[str, int]:
    """Count the shelves; the refused ones are finished, and may be many: they are not counted."""
    counted = [name for name in SHELVES if name != "refused"]
    states = [state for name in counted for state in SHELVES[name]]
    rows = connection.execute(
        select(Job.state, func.count()).where(Job.state.in_(states)).group_by(Job.state)
    )
    by_state: dict[str, int] = dict(rows.all())
    return {name: sum(by_state.get(state, 0) for state in SHELVES[name]) for name in counted}


def _deliveries(
    connection: Connection, jobs: Sequence[int]
) -> dict[int, list[tuple[str, str, int, str]]]:
    rows = connection.execute(
        select(
            Delivery.job_id,
            Delivery.destination,
            Delivery.state,
            func.max(Delivery.attempts),
            func.max(Delivery.last_error),
        )
        .where(Delivery.job_id.in_(jobs), Delivery.state.not_in(("proven", "withdrawn")))
        .group_by(Delivery.job_id, Delivery.destination, Delivery.state)
        .order_by(Delivery.destination)
    )
    found: dict[int, list[tuple[str, str, int, str]]] = {}
    for job, destination, state, attempts, error in rows:
        found.setdefault(job, []).append((destination, state, attempts, error))
    return found


def _missing(connection: Connection, jobs: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    query = select(JobNeed.job_id, JobNeed.sop_instance_uid).where(JobNeed.job_id.in_(jobs))
    for job, uid in connection.execute(query):
        found.setdefault(job, []).append(uid)
    return found


def _candidates(connection: Connection, study: str, seg_uid: str) -> tuple[Candidate, ...]:
    rows = connection.execute(
        select(Instance.sop_instance_uid, Instance.header)
        .where(Instance.study_instance_uid == study, Instance.standing == "current")
        .order_by(Instance.id)
    )
    headers: dict[str, Any] = {
        row.sop_instance_uid: InstanceHeader.from_json(row.header) for row in rows
    }
    seg = headers.get(seg_uid)
    if seg is None:
        return ()
    fitting = [
        header
        for header in headers.values()
        if not header.segments and (header.rows, header.columns) == (seg.rows, seg.columns)
    ]
    return tuple(
        Candidate(
            header.study_instance_uid,
            header.series_instance_uid,
            header.sop_instance_uid,
            header.number_of_frames,
            header.series_description or header.modality,
            header.colour_flow,
        )
        for header in fitting[:_MOST_CANDIDATES]
    )
