"""Retention: what has done its service expires; the rows, the findings and the ledgers stay.

Two rules. A job expires when it is over, every delivery of it is settled and at least one is
proven (or it made no report), and its study has been left alone, all for `proven_days`. An
instance expires when no job that has not expired needs it, its study has no job under way, and
nothing of the study has come in for `unreferenced_days`.

The row goes first, then the file: a crash in between leaves a file that no row names, which the
orphan sweep finds. Each row has a transaction of its own, so that nothing else waits for long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Row,
    Select,
    and_,
    exists,
    func,
    inspect,
    select,
    union,
    update,
)
from sqlalchemy.engine import Engine as Database
from sqlalchemy.orm import InstrumentedAttribute

from node.audit.tables import Delivery, Instance, Job, JobInstance, LedgerInstance, Report
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.database import lock, read_only, utc_now
from node.jobs import states

_BATCH: Final = 200
_NAMED: Final = 20  # hashes in a ledger row
_ORPHAN_AGE: Final = timedelta(days=1)
_OVER: Final = ("done", "refused")
_SETTLED: Final = ("proven", "withdrawn")
_ARRIVALS: Final = ("received", "updated", "duplicate", "conflict", "own")


@dataclass(frozen=True, slots=True)
class Expired:
    """How much has expired, or would."""

    jobs: int
    instances: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things are kept, in days."""

    unreferenced_days: int
    proven_days: int

    def __post_init__(self) -> None:
        if min(self.unreferenced_days, self.proven_days) < 1:
            raise ValueError("everything is kept for a day at least")


@dataclass(frozen=True)
class Keeper:
    """Executes the retention; several may run side by side."""

    database: Database
    trail: Trail
    blobs: BlobStore
    terms: Terms

    def expire(self, now: datetime | None = None) -> Expired:
        """Let expire what is due."""
        now = now or utc_now()
        jobs = self._expire_all(_due_jobs(self._proven_before(now)), self._expire_job, now)
        instances = self._expire_all(_due(self._left_before(now)), self._expire_instance, now)
        return Expired(jobs, instances)

    def due(self, now: datetime | None = None) -> Expired:
        """Count what would expire now; the instances of jobs that would are not counted yet."""
        now = now or utc_now()
        jobs = _due_jobs(self._proven_before(now)).subquery()
        instances = _due(self._left_before(now)).subquery()
        with read_only(self.database) as connection:
            return Expired(
                connection.scalar(select(func.count()).select_from(jobs)) or 0,
                *connection.execute(
                    select(func.count(), func.coalesce(func.sum(instances.c.size), 0))
                ).one(),
            )

    def sweep(self, now: datetime | None = None) -> int:
        """Remove blobs that no row names and spool files, older than a day; return how many."""
        before = (now or utc_now()) - _ORPHAN_AGE
        spooled = self.blobs.expire_spool(before)
        removed: list[str] = []
        batch: list[str] = []
        for sha256 in self.blobs.older_than(before):
            batch.append(sha256)
            if len(batch) == _BATCH:
                removed += self._sweep(batch, before)
                batch = []
        removed += self._sweep(batch, before)
        if removed or spooled:
            with self.database.begin() as connection:
                self.trail.record(
                    connection,
                    "system",
                    "orphans-removed",
                    "blobs",
                    {"blobs": len(removed), "spooled": spooled, "sha256": removed[:_NAMED]},
                )
        return len(removed) + spooled

    def _sweep(self, hashes: list[str], before: datetime) -> list[str]:
        named = self._named(hashes)
        return [one for one in hashes if one not in named and self.blobs.expire(one, before)]

    def _proven_before(self, now: datetime) -> datetime:
        return now - timedelta(days=self.terms.proven_days)

    def _left_before(self, now: datetime) -> datetime:
        return now - timedelta(days=self.terms.unreferenced_days)

    def _expire_all(self, due: Select[Any], expire: Any, now: datetime) -> int:  # noqa: ANN401 - one of two methods
        """Expire what a query finds, batch by batch; what another has changed meanwhile stays."""
        count, last = 0, 0
        while True:
            ids = due.selected_columns.id
            with read_only(self.database) as connection:
                rows = connection.execute(due.where(ids > last).order_by(ids).limit(_BATCH)).all()
            if not rows:
                return count
            for row in rows:
                hashes = expire(row, now)
                count += hashes is not None
                # Kept since the row was read: then somebody has a row on its way for it.
                self._drop(hashes or (), now - _ORPHAN_AGE)
            last = rows[-1].id

    def _expire_job(self, row: Row[Any], now: datetime) -> list[str] | None:
        with self.database.begin() as connection:
            job = states.hold(connection, row.id)
            due = _due_jobs(self._proven_before(now)).where(Job.id == row.id)
            if connection.execute(due).first() is None:
                return None
            connection.execute(update(Job).where(Job.id == job.id).values(expired_at=now))
            self.trail.record(
                connection,
                "job",
                "expired",
                states.subject(job.seg_uid, job.generation),
                {"job": job.id, "proven_days": self.terms.proven_days},
                study=job.study_instance_uid,
                patient=job.patient_id,
            )
            query = select(Report.blob_sha256).where(Report.job_id == job.id)
            return list(connection.scalars(query))

    def _expire_instance(self, row: Row[Any], now: datetime) -> list[str] | None:
        with self.database.begin() as connection:
            # As pairing does: the study first, then the instance; nothing more, so no deadlock.
            lock(connection, row.study_instance_uid)
            lock(connection, row.sop_instance_uid)
            due = _due(self._left_before(now)).where(Instance.id == row.id)
            if connection.execute(due).first() is None:
                return None
            connection.execute(
                update(Instance)
                .where(Instance.id == row.id)
                .values(standing="expired", expired_at=now)
            )
            self.trail.record(
                connection,
                "instance",
                "expired",
                row.sop_instance_uid,
                {"instance": row.id, "before": row.standing, "sha256": row.blob_sha256},
                study=row.study_instance_uid,
                patient=row.patient_id,
            )
        return [row.blob_sha256]

    def _drop(self, hashes: Iterable[str], before: datetime) -> None:
        wanted = list(hashes)
        named = self._named(wanted)
        for sha256 in wanted:
            if sha256 not in named:
                self.blobs.expire(sha256, before)

    def _named(self, hashes: list[str]) -> set[str]:
        """Return those that a row still needs."""
        if not hashes:
            return set()
        with read_only(self.database) as connection:
            return _named(connection, hashes)


def _named(connection: Connection, hashes: list[str]) -> set[str]:
    received = select(Instance.blob_sha256).where(
        Instance.blob_sha256.in_(hashes), Instance.standing != "expired"
    )
    made = (
        select(Report.blob_sha256)
        .join(Job, Job.id == Report.job_id)
        .where(Report.blob_sha256.in_(hashes), Job.expired_at.is_(None))
    )
    return set(connection.scalars(received)) | set(connection.scalars(made))


def needed_blobs(connection: Connection) -> CompoundSelect[Any]:
    """Return the query for the hashes of all blobs that rows need, each once, in order.

    The columns are asked of the database: one that an older version wrote has no `expired_at`.
    """
    received = select(Instance.blob_sha256).where(Instance.standing != "expired")
    made = select(Report.blob_sha256)
    if any(column["name"] == "expired_at" for column in inspect(connection).get_columns("job")):
        made = made.join(Job, Job.id == Report.job_id).where(Job.expired_at.is_(None))
    return union(received, made).order_by("blob_sha256")


def _came_since(study: InstrumentedAttribute[str], moment: datetime) -> ColumnElement[bool]:
    return exists().where(
        LedgerInstance.study_instance_uid == study,
        LedgerInstance.at >= moment,
        LedgerInstance.event.in_(_ARRIVALS),
    )


def _due_jobs(before: datetime) -> Select[Any]:
    other = Job.__table__.alias("other")
    busy = exists().where(
        other.c.study_instance_uid == Job.study_instance_uid,
        other.c.state.not_in(_OVER) | (other.c.updated_at >= before),
    )
    unsettled = exists().where(Delivery.job_id == Job.id, Delivery.state.not_in(_SETTLED))
    proven = exists().where(Delivery.job_id == Job.id, Delivery.state == "proven")
    reported = exists().where(Report.job_id == Job.id)
    return select(Job.id).where(
        Job.expired_at.is_(None),
        Job.updated_at < before,
        Job.state.in_(_OVER),
        ~unsettled,
        proven | ~reported,
        ~busy,
        ~_came_since(Job.study_instance_uid, before),
    )


def _due(before: datetime) -> Select[Any]:
    needed = exists().where(
        JobInstance.sop_instance_uid == Instance.sop_instance_uid,
        JobInstance.job_id == Job.id,
        Job.expired_at.is_(None),
    )
    under_way = exists().where(
        Job.study_instance_uid == Instance.study_instance_uid, Job.state.not_in(_OVER)
    )
    return select(Instance.__table__).where(
        and_(
            Instance.received_at < before,
            Instance.standing != "expired",
            ~needed,
            ~under_way,
            ~_came_since(Instance.study_instance_uid, before),
        )
    )
