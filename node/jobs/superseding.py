"""Which report a new one supersedes, and the rejection notes that tell the archives so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sqlalchemy import Connection, Row, insert, select, update

from node.audit.tables import Installation, Job, Report, Withdrawal
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.case import InstanceHeader
from node.database import utc_now
from node.jobs import dispatching
from node.jobs.lesions import supersedes
from node.jobs.pairing import latest_instance
from node.jobs.report_rows import store_report
from node.jobs.stages import Predecessor, RejectedObject, Rejection, ReportObject, Wish

if TYPE_CHECKING:
    from collections.abc import Callable


class Rejects(Protocol):
    """Whoever makes rejection notes: the ledger, the blobs and the stage that writes one."""

    @property
    def trail(self) -> Trail:
        """The ledger."""

    @property
    def blobs(self) -> BlobStore:
        """Where the bytes go."""

    @property
    def reject(self) -> Callable[[Rejection], ReportObject]:
        """The stage that writes a note."""


def predecessor_row(connection: Connection, job: Row[Any]) -> Row[Any] | None:
    """Find the SR that the report of a job supersedes.

    That is the one of an earlier generation, or of an earlier SEG that this one is a later look
    at (`node.jobs.lesions.supersedes`). What a person has withdrawn is nobody's predecessor.
    """
    mine = _header(connection, job.seg_uid)
    withdrawn = select(Withdrawal.report_id).where(Withdrawal.kind == "withdrawn")
    reports = connection.execute(
        select(Report.__table__, Job.seg_uid)
        .join(Job, Job.id == Report.job_id)
        .where(
            Report.kind == "sr",
            Report.study_instance_uid == job.study_instance_uid,
            Report.job_id != job.id,
            Report.id.not_in(withdrawn),
        )
        .order_by(Report.id.desc())
    )
    for report in reports:
        theirs = _header(connection, report.seg_uid)
        if report.seg_uid == job.seg_uid or (
            mine is not None and theirs is not None and supersedes(mine, theirs)
        ):
            return report
    return None


def predecessor(connection: Connection, job: Row[Any]) -> Predecessor | None:
    """Return the report that the one of a job supersedes, as the report names it."""
    row = predecessor_row(connection, job)
    if row is None:
        return None
    return Predecessor(
        row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, row.study_instance_uid
    )


def supersede(
    office: Rejects, connection: Connection, job: Row[Any], wishes: Sequence[Wish]
) -> None:
    """Note that a job's new report supersedes an earlier one; tell the archives that want it.

    The note belongs to the new job and is sent to an archive only when the new report is proven
    there: at no moment is there no report.
    """
    old = predecessor_row(connection, job)
    if old is None or not wishes:
        return  # who gets no new report keeps the old one
    notes: list[int] = []
    earlier = connection.execute(
        select(Withdrawal.id).where(Withdrawal.report_id == old.id)
    ).first()
    expired = connection.scalar(select(Job.expired_at).where(Job.id == old.job_id))
    if earlier is None and expired is None:  # a note is made of the old report's file
        wanted = {wish.name for wish in wishes if wish.reject_superseded}
        reason = "Superseded by a later report of the same lesions."
        notes = write_notes(office, connection, job, old, "superseded", reason, wanted)
    record(office, connection, job, old, "superseded", "superseded by a later report", notes)


def write_notes(
    office: Rejects,
    connection: Connection,
    job: Row[Any],
    report: Row[Any],
    kind: Literal["superseded", "withdrawn"],
    reason: str,
    destinations: Collection[str],
) -> list[int]:
    """Store the rejection notes for a report and put them on their way.

    Each destination is told of what it got. Those that got the same get the same note.

    Args:
        office: Ledger, blobs and the stage that writes a note.
        connection: The transaction.
        job: The one that carries the notes.
        report: The SR that is rejected.
        kind: Decides the title.
        reason: In words.
        destinations: Who is told, of those that got the report.

    Returns:
        The notes' rows.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    parts = dispatching.shipped(connection, report.job_id)
    for name in sorted(set(parts) & set(destinations)):
        groups.setdefault(tuple(row.id for row in parts[name]), []).append(name)
    ids = []
    prefix = "reject" if kind == "superseded" else "withdraw"
    for number, (_, names) in enumerate(groups.items(), start=1):
        made = office.reject(
            Rejection(
                kind=kind,
                report=office.blobs.path(report.blob_sha256),
                objects=tuple(
                    RejectedObject(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid)
                    for row in parts[names[0]]
                ),
                reason=reason,
                installation_uid=str(connection.scalar(select(Installation.uid))),
                when=utc_now(),
            )
        )
        made = replace(made, kind=f"{prefix}-{number}")
        note_id = store_report(connection, office.trail, job, made, office.blobs.put(made.data))
        for name in names:
            dispatching.put(connection, job.id, name, [note_id])
        ids.append(note_id)
    return ids


def record(
    office: Rejects,
    connection: Connection,
    job: Row[Any],
    report: Row[Any],
    kind: Literal["superseded", "withdrawn"],
    reason: str,
    notes: Sequence[int],
) -> None:
    """Write what became of a report, work row and ledger row; a person's word is the last."""
    values = {
        "note_id": notes[0] if notes else None,
        "kind": kind,
        "reason": reason,
        "withdrawn_by": office.trail.actor[:64],
        "withdrawn_at": utc_now(),
    }
    known = connection.execute(
        select(Withdrawal.__table__).where(Withdrawal.report_id == report.id)
    ).one_or_none()
    if known is not None and kind == "superseded":
        return
    if known is None:
        connection.execute(insert(Withdrawal).values(report_id=report.id, **values))
    else:
        connection.execute(update(Withdrawal).where(Withdrawal.id == known.id).values(**values))
    office.trail.record(
        connection,
        "report",
        kind,
        report.sop_instance_uid,
        {"reason": reason, "job": report.job_id, "notes": list(notes)},
        study=job.study_instance_uid,
        patient=job.patient_id,
    )


def _header(connection: Connection, seg_uid: str) -> InstanceHeader | None:
    row = latest_instance(connection, seg_uid)
    return None if row is None else InstanceHeader.from_json(row.header)
