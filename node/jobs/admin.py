"""What a person does to jobs: list, show, retry, cancel, assign an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Assignment, Delivery, FindingRow, Job, JobNeed, Report
from node.audit.trail import Trail
from node.case import FrameReference
from node.database import lock, read_only, utc_now
from node.errors import JobError, PairingError
from node.jobs import states, usage
from node.jobs.dispatching import delivery
from node.jobs.engine import Enqueuer, Task
from node.jobs.pairing import assessment, current_instance, latest_job


def list_jobs(
    database: Database, states_wanted: Sequence[str] = (), limit: int = 100
) -> list[dict[str, Any]]:
    """Return the latest jobs, newest first, as plain values."""
    query = select(Job.__table__).order_by(Job.id.desc()).limit(limit)
    if states_wanted:
        query = query.where(Job.state.in_(states_wanted))
    with read_only(database) as connection:
        return [_job(row) for row in connection.execute(query)]


def show_job(database: Database, job_id: int) -> dict[str, Any]:
    """Return a job with its findings, objects and deliveries.

    Raises:
        JobError: If there is no such job.
    """
    with read_only(database) as connection:
        job = states.find(connection, job_id)
        findings = connection.scalars(
            select(FindingRow.finding).where(FindingRow.job_id == job_id).order_by(FindingRow.id)
        ).all()
        reports = connection.execute(
            select(Report.__table__).where(Report.job_id == job_id).order_by(Report.id)
        ).all()
        deliveries = connection.execute(
            select(Delivery.__table__).where(Delivery.job_id == job_id).order_by(Delivery.id)
        ).all()
        missing = connection.scalars(
            select(JobNeed.sop_instance_uid).where(JobNeed.job_id == job_id)
        ).all()
    return {
        **_job(job),
        "missing": list(missing),
        "cases": job.cases["cases"],
        "findings": list(findings),
        "reports": [
            {key: row._mapping[key] for key in ("kind", "sop_instance_uid", "blob_sha256")}  # noqa: SLF001 - SQLAlchemy's public name
            for row in reports
        ],
        "deliveries": [
            {
                "destination": row.destination,
                "state": row.state,
                "attempts": row.attempts,
                "last_error": row.last_error,
            }
            for row in deliveries
        ],
    }


def held_cases(database: Database) -> list[dict[str, Any]]:
    """Return the SEGs that wait for something: held for a person, or for an image."""
    return list_jobs(database, ("held", "waiting"), limit=1000)


@dataclass(frozen=True)
class Desk:
    """A person's desk: every act is a ledger row with that person's name."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer

    def retry(self, job_id: int) -> str:
        """Set a dead or refused job going again; return its new state.

        Raises:
            JobError: If the job is neither dead nor refused, or its report stands already.
        """
        with self.database.begin() as connection:
            job = states.hold(connection, job_id)
            if job.state not in {"dead", "refused"}:
                raise JobError(
                    f"job {job_id} is {job.state}; only dead or refused jobs are retried"
                )
            self._note(connection, job, "retried")
            run = job.run + 1
            undelivered = connection.scalars(
                select(Delivery.destination).where(
                    Delivery.job_id == job_id, Delivery.state.not_in(("proven", "withdrawn"))
                )
            ).all()
            if undelivered:
                connection.execute(
                    update(Delivery)
                    .where(Delivery.job_id == job_id, Delivery.state == "dead")
                    .values(state="pending", attempts=0, updated_at=utc_now())
                )
                states.change(connection, self.trail, job, "delivering", run=run)
                for destination in sorted(set(undelivered)):
                    self.enqueuer.enqueue(connection, delivery(job_id, run, destination))
                return "delivering"
            if _has_reports(connection, job_id):
                raise JobError(f"the report of job {job_id} is delivered; nothing is left to retry")
            usage.forget(connection, job_id)
            connection.execute(delete(FindingRow).where(FindingRow.job_id == job_id))
            if job.cases["cases"] and job.state == "dead":
                states.change(connection, self.trail, job, "queued", run=run)
                self.enqueuer.enqueue(
                    connection, assessment(job_id, run, job.priority, turn=job.turn)
                )
                return "queued"
            states.change(connection, self.trail, job, "waiting", "retried", run=run)
            self._pair_again(connection, job.seg_uid, f"retry:{job_id}:{run}")
            return "waiting"

    def cancel(self, job_id: int) -> None:
        """Stop a job that is not finished; it becomes dead, and can be retried.

        Raises:
            JobError: If the job is finished.
        """
        with self.database.begin() as connection:
            job = states.hold(connection, job_id)
            self._note(connection, job, "cancelled")
            states.change(connection, self.trail, job, "dead", f"cancelled by {self.trail.actor}")
            connection.execute(
                update(Delivery)
                .where(Delivery.job_id == job_id, Delivery.state.in_(("pending", "sent")))
                .values(state="dead", last_error="cancelled", updated_at=utc_now())
            )

    def assign(self, seg_uid: str, frame: FrameReference) -> None:
        """Say which image a SEG without references was drawn on.

        Raises:
            PairingError: If the SEG is unknown or its case is not held.
        """
        with self.database.begin() as connection:
            seg = current_instance(connection, seg_uid)
            if seg is None:
                raise PairingError(f"no SEG {seg_uid} is here")
            lock(connection, seg.study_instance_uid)
            job = latest_job(connection, seg_uid)
            if job is None or job.state not in {"held", "waiting"}:
                state = "not paired yet" if job is None else job.state
                raise PairingError(f"SEG {seg_uid} is {state}; only held or waiting ones take one")
            connection.execute(delete(Assignment).where(Assignment.seg_uid == seg_uid))
            connection.execute(
                insert(Assignment).values(
                    seg_uid=seg_uid,
                    sop_instance_uid=frame.sop_instance_uid,
                    frame_number=frame.frame_number,
                    assigned_by=self.trail.actor,
                    assigned_at=utc_now(),
                )
            )
            self.trail.record(
                connection,
                "case",
                "assigned",
                seg_uid,
                {"image": frame.sop_instance_uid, "frame": frame.frame_number},
                study=seg.study_instance_uid,
                patient=seg.patient_id,
            )
            key = f"assign:{seg_uid}:{utc_now().timestamp()}"
            self._pair_again(connection, seg_uid, key)

    def _pair_again(self, connection: Connection, seg_uid: str, key: str) -> None:
        seg = current_instance(connection, seg_uid)
        if seg is not None:
            self.enqueuer.enqueue(connection, Task("pairing", key, (seg.id,)))

    def _note(self, connection: Connection, job: Row[Any], event: str) -> None:
        self.trail.record(
            connection,
            "job",
            event,
            states.subject(job.seg_uid, job.generation),
            {"job": job.id, "from": job.state},
            study=job.study_instance_uid,
            patient=job.patient_id,
        )


def _has_reports(connection: Connection, job_id: int) -> bool:
    query = select(Report.id).where(Report.job_id == job_id).limit(1)
    return connection.execute(query).first() is not None


def _job(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "state": row.state,
        "seg": row.seg_uid,
        "generation": row.generation,
        "study": row.study_instance_uid,
        "patient": row.patient_id,
        "reason": row.reason,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }
