"""The database side of a radiologist's report: what was read, kept and made available to pairing.

It writes the reading's rows and their ledger; that a lesion is then assessed again is pairing's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, delete, insert, select

from node.audit.tables import Instance, Job, LedgerReading, ReadingRow
from node.audit.trail import Trail
from node.case import Case, InstanceHeader
from node.database import utc_now
from node.jobs.lesions import same_reader
from node.jobs.stages import StoredReading
from sr_templates.errors import TemplateError

if TYPE_CHECKING:  # parsing is the worker's
    from sr_templates.readings import LesionRead, ReportRead

STRUCTURED_REPORTS: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR Storage (PS3.4 section B.5)
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR Storage
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage
    }
)


@dataclass(frozen=True, slots=True)
class Heard:
    """An inbound report as it was understood, or why it was not."""

    report: ReportRead | None
    refusal: str = ""


def hear(read: Callable[[Path], ReportRead], path: Path) -> Heard:
    """Parse a report; a refusal names why it is no reading. Call it outside of transactions."""
    try:
        report = read(path)
    except TemplateError as error:
        return Heard(None, str(error))
    if not report.lesions:
        return Heard(None, "it says nothing of the features that the model uses")
    return Heard(report)


def stored(report: ReportRead) -> tuple[StoredReading, ...]:
    """Return a report's readings as pairing takes them."""
    return tuple(
        StoredReading(
            source=report.sop_instance_uid,
            reader=report.reader,
            read_at=report.read_at,
            tracking_uid=lesion.tracking_uid,
            seg_uid=lesion.seg_uid,
            segment_number=lesion.segment_number,
            images=lesion.images,
            features=lesion.features,
        )
        for lesion in report.lesions
        if lesion.features
    )


def keep(connection: Connection, trail: Trail, row: Row[Any], heard: Heard) -> bool:
    """Write what was read of each lesion; say whether this file is news.

    The same values in another file (changed demographics) keep their place in the order.
    """
    if _was_heard(connection, row):
        return False
    if heard.report is None:
        _record(connection, trail, row, "refused", {"reason": heard.refusal})
        return True
    report = heard.report
    wanted = [_values(row, report, lesion) for lesion in report.lesions if lesion.features]
    mine = ReadingRow.source == row.sop_instance_uid
    known = connection.execute(
        select(ReadingRow.__table__).where(mine).order_by(ReadingRow.id)
    ).all()
    if not _same(known, wanted):
        connection.execute(delete(ReadingRow).where(mine))
        now = utc_now()
        for values in wanted:
            connection.execute(insert(ReadingRow).values(created_at=now, **values))
    _record(
        connection,
        trail,
        row,
        "received",
        {
            "reader": report.reader,
            "read_at": report.read_at,
            "verified": report.verified,
            "lesions": [_plain(lesion) for lesion in report.lesions],
            "ignored": list(report.ignored),
        },
    )
    return True


def _was_heard(connection: Connection, row: Row[Any]) -> bool:
    details = connection.scalars(
        select(LedgerReading.detail).where(
            LedgerReading.subject == row.sop_instance_uid,
            LedgerReading.event.in_(("received", "refused")),
        )
    )
    return any(detail.get("sha256") == row.blob_sha256 for detail in details)


def _plain(lesion: LesionRead) -> dict[str, Any]:
    return {**asdict(lesion), "features": dict(lesion.features), "images": list(lesion.images)}


def applied(connection: Connection, trail: Trail, job: Row[Any], case: Case) -> None:
    """Note in the ledger that a job uses a reading."""
    if case.reading is None:
        return
    trail.record(
        connection,
        "reading",
        "applied",
        case.reading.source,
        {
            "case": case.name,
            "job": job.id,
            "generation": job.generation,
            "reader": case.reading.reader,
            "semantic": dict(case.reading.semantic),
        },
        study=job.study_instance_uid,
        patient=job.patient_id,
    )


def readings_of(connection: Connection, study_instance_uid: str) -> tuple[StoredReading, ...]:
    """Return what people read in a study, in the order of arrival."""
    rows = connection.execute(
        select(ReadingRow.__table__)
        .where(ReadingRow.study_instance_uid == study_instance_uid)
        .order_by(ReadingRow.id)
    )
    return tuple(
        StoredReading(
            source=row.source,
            reader=row.reader,
            read_at=row.read_at,
            tracking_uid=row.tracking_uid,
            seg_uid=row.seg_uid,
            segment_number=row.segment_number,
            images=tuple(row.detail["images"]),
            features=row.features,
        )
        for row in rows
    )


def concerned(connection: Connection, study_instance_uid: str) -> list[str]:
    """Return the SEGs of a study that a reading may set going, without those looked at anew.

    A SEG whose lesions the same reader segmented again later has had its last word.
    """
    rows = connection.execute(
        select(Instance.sop_instance_uid, Instance.header)
        .where(
            Instance.standing == "current",
            Instance.study_instance_uid == study_instance_uid,
            Instance.sop_instance_uid.in_(
                select(Job.seg_uid).where(Job.study_instance_uid == study_instance_uid)
            ),
        )
        .order_by(Instance.id)
    )
    segs = [InstanceHeader.from_json(row.header) for row in rows]
    return [
        seg.sop_instance_uid
        for index, seg in enumerate(segs)
        if not any(_looks_again(later, seg) for later in segs[index + 1 :])
    ]


def _looks_again(later: InstanceHeader, seg: InstanceHeader) -> bool:
    mine = {segment.tracking_uid for segment in seg.segments}
    theirs = {segment.tracking_uid for segment in later.segments if segment.tracking_uid}
    on = {source.sop_instance_uid for segment in seg.segments for source in segment.sources}
    their_images = {s.sop_instance_uid for segment in later.segments for s in segment.sources}
    # The later SEG may only lend a Doppler mask: then it lies on another image.
    return bool(mine) and mine <= theirs and bool(on & their_images) and same_reader(seg, later)


def _values(row: Row[Any], report: ReportRead, lesion: LesionRead) -> dict[str, Any]:
    return {
        "source": row.sop_instance_uid,
        "study_instance_uid": row.study_instance_uid,
        "patient_id": row.patient_id,
        "tracking_uid": lesion.tracking_uid,
        "seg_uid": lesion.seg_uid,
        "segment_number": lesion.segment_number,
        "reader": report.reader,
        "read_at": report.read_at,
        "verified": report.verified,
        "features": dict(lesion.features),
        "detail": {"images": list(lesion.images)},
    }


def _record(
    connection: Connection, trail: Trail, row: Row[Any], event: str, detail: dict[str, Any]
) -> None:
    trail.record(
        connection,
        "reading",
        event,
        row.sop_instance_uid,
        {**detail, "sha256": row.blob_sha256},
        study=row.study_instance_uid,
        patient=row.patient_id,
    )


def _same(known: Sequence[Row[Any]], wanted: Sequence[dict[str, Any]]) -> bool:
    """Tell whether rows hold exactly these values."""
    return len(known) == len(wanted) and all(
        old._mapping[key] == value  # noqa: SLF001 - SQLAlchemy's public name
        for old, new in zip(known, wanted, strict=True)
        for key, value in new.items()
    )
