"""A verified report as an outcome: it agrees or disagrees with ours, or says what the lesion is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, select

from node.audit.tables import FindingRow, Instance, Report
from node.audit.trail import Trail
from node.case import Case, InstanceHeader
from node.jobs.lesions import is_about
from node.jobs.outcomes import OutcomeSaid, keep_outcome, latest_cases

if TYPE_CHECKING:
    from sr_templates.readings import LesionRead, ReportRead


def keep_verdicts(connection: Connection, trail: Trail, row: Row[Any], report: ReportRead) -> None:
    """Keep an outcome for each lesion that a VERIFIED report passes a verdict on.

    A final statement (diagnosis, conclusion) says what the lesion is. Our own class, kept or
    changed by who verifies, and the codes of CID 3217 only say whether they agree with us.
    """
    if not report.verified:
        return
    ours = _refers_to_us(connection, report)
    for index, lesion in enumerate(report.lesions):
        case = _case(connection, row.study_instance_uid, lesion)
        class_ = None if case is None else _latest_class(connection, case.name)
        agrees = lesion.agrees if ours else None
        verdict = lesion.statement or lesion.our_class
        if agrees is None and verdict is not None and class_ is not None:
            agrees = verdict == class_
        if agrees is None and lesion.statement is None:
            continue
        keep_outcome(
            connection,
            trail,
            OutcomeSaid(
                kind="verified-sr",
                source=row.sop_instance_uid + (f"#{index}" if index else ""),
                malignant=None if lesion.statement is None else lesion.statement == "malignant",
                agrees=agrees,
                observed_at=report.read_at,
                patient_id=row.patient_id,
                study_instance_uid=row.study_instance_uid,
                tracking_uid=lesion.tracking_uid if case is None else case.tracking_uid,
                case_name="" if case is None else case.name,
                detail={"reader": report.reader, "refers_to_our_report": ours},
            ),
        )


def _refers_to_us(connection: Connection, report: ReportRead) -> bool:
    query = select(Report.id).where(
        Report.kind == "sr", Report.sop_instance_uid.in_(report.references)
    )
    return connection.execute(query.limit(1)).first() is not None


def _case(connection: Connection, study: str, lesion: LesionRead) -> Case | None:
    """Return the latest case that a lesion of the report is; None where that is not clear."""
    rows = connection.execute(
        select(Instance.sop_instance_uid, Instance.header)
        .where(Instance.study_instance_uid == study, Instance.standing == "current")
        .order_by(Instance.id)
    )
    headers = {row.sop_instance_uid: InstanceHeader.from_json(row.header) for row in rows}
    segs = {uid: header for uid, header in headers.items() if header.segments}
    by_seg: dict[str, list[Case]] = {}
    for job, case in latest_cases(connection, [study]):
        by_seg.setdefault(job.seg_uid, []).append(Case.from_json(case))
    found = [
        case
        for seg_uid, cases in by_seg.items()
        if seg_uid in segs
        for case in cases
        if is_about(
            lesion, case, cases, segs[seg_uid], [s for uid, s in segs.items() if uid != seg_uid]
        )
    ]
    lesions = {case.tracking_uid or case.name for case in found}
    return found[-1] if len(lesions) == 1 else None


def _latest_class(connection: Connection, case_name: str) -> str | None:
    query = select(FindingRow.malignancy).where(FindingRow.case_name == case_name)
    return connection.scalar(query.order_by(FindingRow.id.desc()).limit(1))
