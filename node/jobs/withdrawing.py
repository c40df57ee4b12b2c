"""Reports as people see them: which there are, what became of them, and taking one back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Delivery, FindingRow, Job, Report, Withdrawal
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.database import read_only, utc_now
from node.errors import JobError
from node.jobs import dispatching, states, superseding
from node.jobs.dispatching import delivery
from node.jobs.engine import Enqueuer
from node.jobs.stages import Rejection, ReportObject


def list_reports(database: Database, limit: int = 100, patient: str = "") -> list[dict[str, Any]]:
    """Return the latest Structured Reports, newest first, as plain values."""
    query = _reports().order_by(Report.id.desc()).limit(limit)
    if patient:
        query = query.where(Job.patient_id == patient)
    with read_only(database) as connection:
        return [_report(row) for row in connection.execute(query)]


def show_report(database: Database, report: str) -> dict[str, Any]:
    """Return one report with its findings, and each of its objects with where it is.

    Args:
        database: The node's.
        report: Its number, or the SOP Instance UID of the SR.

    Raises:
        JobError: If there is no such report.
    """
    with read_only(database) as connection:
        row = _find(connection, report)
        findings = connection.scalars(
            select(FindingRow.finding)
            .where(FindingRow.job_id == row.job_id)
            .order_by(FindingRow.id)
        ).all()
        objects = connection.execute(
            select(
                Report.kind,
                Report.sop_instance_uid,
                Delivery.destination,
                Delivery.state,
                Delivery.last_error,
            )
            .outerjoin(Delivery, Delivery.report_id == Report.id)
            .where(Report.job_id == row.job_id)
            .order_by(Report.id, Delivery.id)
        ).all()
    return {
        **_report(row),
        "findings": list(findings),
        "objects": [dict(part._mapping) for part in objects],  # noqa: SLF001 - SQLAlchemy's public name
    }


@dataclass(frozen=True)
class Withdrawer:
    """Takes reports back: rejection notes to every destination that got one, and the ledger."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer
    blobs: BlobStore
    reject: Callable[[Rejection], ReportObject]

    def withdraw(self, report: str, reason: str) -> str:
        """Withdraw a report; return what the job does now.

        What was never sent stays here. For what was, or may have been, each destination gets a
        rejection note, delivered and proven like the report itself. Once more changes nothing.

        Args:
            report: Its number, or the SOP Instance UID of the SR.
            reason: In words; it stands in the note.

        Raises:
            JobError: If there is no such report, no reason, or the report is just being made.
        """
        if not reason.strip():
            raise JobError("say why the report is withdrawn: --reason TEXT")
        with self.database.begin() as connection:
            job_id = _find(connection, report).job_id
            job = states.hold(connection, job_id)
            row = _find(connection, report)
            if row.withdrawal == "withdrawn":
                return str(job.state)
            if job.state not in {"delivering", "done", "refused", "dead"}:
                raise JobError(f"job {job.id} is {job.state}; withdraw its report when it is done")
            if job.expired_at is not None:
                raise JobError(
                    f"the files of report {row.id} expired on {job.expired_at.date().isoformat()}; "
                    "reject it in the archive"
                )
            self._keep_back(connection, job_id)
            parts = dispatching.shipped(connection, job_id)
            notes = superseding.write_notes(
                self, connection, job, row, "withdrawn", reason.strip(), set(parts)
            )
            superseding.record(self, connection, job, row, "withdrawn", reason.strip(), notes)
            if notes:
                self._send(connection, job)
                return "delivering"
            return self._settle(connection, job)

    def _keep_back(self, connection: Connection, job_id: int) -> None:
        """Stop what no attempt has sent yet; that cannot be said of what has been tried."""
        connection.execute(
            update(Delivery)
            .where(Delivery.job_id == job_id, Delivery.state == "pending", Delivery.attempts == 0)
            .values(state="withdrawn", last_error="withdrawn", updated_at=utc_now())
        )

    def _send(self, connection: Connection, job: Row[Any]) -> None:
        run = job.run + 1
        states.change(connection, self.trail, job, "delivering", "report withdrawn", run=run)
        open_ = connection.scalars(
            select(Delivery.destination)
            .where(Delivery.job_id == job.id, Delivery.state.in_(dispatching.OPEN))
            .distinct()
        )
        for destination in sorted(open_):
            self.enqueuer.enqueue(connection, delivery(job.id, run, destination))

    def _settle(self, connection: Connection, job: Row[Any]) -> str:
        """End a job whose report nobody has got and nobody will get."""
        if job.state == "delivering":
            states.change(connection, self.trail, job, "done", "report withdrawn", run=job.run + 1)
            return "done"
        return str(job.state)


def _reports() -> Select[Any]:
    return (
        select(
            Report.__table__,
            Job.patient_id,
            Job.seg_uid,
            Job.generation,
            Withdrawal.kind.label("withdrawal"),
            Withdrawal.reason,
            Withdrawal.withdrawn_by,
        )
        .join(Job, Job.id == Report.job_id)
        .outerjoin(Withdrawal, Withdrawal.report_id == Report.id)
        .where(Report.kind == "sr")
    )


def _find(connection: Connection, report: str) -> Row[Any]:
    mine = Report.id == int(report) if report.isdecimal() else Report.sop_instance_uid == report
    row = connection.execute(_reports().where(mine)).one_or_none()
    if row is None:
        raise JobError(f"there is no report {report}; `crdl reports list` shows which there are")
    return row


def _report(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "state": row.withdrawal or "current",
        "patient": row.patient_id,
        "study": row.study_instance_uid,
        "seg": row.seg_uid,
        "generation": row.generation,
        "sr": row.sop_instance_uid,
        "job": row.job_id,
        "reason": row.reason or "",
        "by": row.withdrawn_by or "",
        "created_at": row.created_at.isoformat(),
    }
