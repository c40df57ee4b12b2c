"""A study's page, read from the tables and the store: who, what came in, what each report says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from node.audit.tables import (
    Assignment,
    Delivery,
    FindingRow,
    Instance,
    Job,
    JobNeed,
    ReadingRow,
    Report,
    Study,
    Withdrawal,
)
from node.blobs import BlobStore
from node.case import Case, InstanceHeader
from node.database import read_only
from node.errors import InputError
from node.web.console.sr_page import SrPage, read_sr
from node.web.console.study_values import Frame, Generation, Lesion, Look, Part, StudyPage


def study_page(database: Engine, blobs: BlobStore, uid: str) -> StudyPage | None:
    """Ask for a study; None if the node never had it."""
    with read_only(database) as connection:
        row = connection.execute(
            select(Study.__table__).where(Study.study_instance_uid == uid)
        ).one_or_none()
        if row is None:
            return None
        instances = connection.execute(
            select(
                Instance.sop_instance_uid,
                Instance.header,
                Instance.standing,
                Instance.size,
                Instance.source,
                Instance.received_at,
            )
            .where(
                Instance.study_instance_uid == uid,
                Instance.standing.in_(("current", "conflict", "expired", "own")),
            )
            .order_by(Instance.id)
        ).all()
        headers = [(InstanceHeader.from_json(one.header), one) for one in instances]
        known = {header.sop_instance_uid: header for header, _ in headers}
        jobs = connection.execute(
            select(Job.__table__)
            .where(Job.study_instance_uid == uid)
            .order_by(Job.created_at.desc(), Job.generation.desc())
        ).all()
        known |= _elsewhere(connection, jobs, known)
        gone = {one.sop_instance_uid for _, one in headers if one.standing == "expired"}
        looks = _looks(connection, blobs, jobs, known, gone)
        readings = connection.execute(
            select(ReadingRow.__table__)
            .where(ReadingRow.study_instance_uid == uid)
            .order_by(ReadingRow.id.desc())
        ).all()
    images = [header for header, _ in headers if header.segments == ()] or [
        header for header, _ in headers
    ]
    if not images:
        return None
    return StudyPage(row, images[0], tuple(headers), looks, tuple(readings))


def _elsewhere(
    connection: Connection, jobs: Sequence[Row[Any]], known: Mapping[str, InstanceHeader]
) -> dict[str, InstanceHeader]:
    """Return the headers of images of other studies that the cases refer to."""
    cases = [Case.from_json(case) for job in jobs for case in job.cases["cases"]]
    wanted = set().union(*(case.instances() for case in cases)) - set(known)
    if not wanted:
        return {}
    rows = connection.execute(
        select(Instance.sop_instance_uid, Instance.header).where(
            Instance.sop_instance_uid.in_(wanted), Instance.standing == "current"
        )
    )
    return {row.sop_instance_uid: InstanceHeader.from_json(row.header) for row in rows}


def _looks(
    connection: Connection,
    blobs: BlobStore,
    jobs: Sequence[Row[Any]],
    known: Mapping[str, InstanceHeader],
    gone: Collection[str],
) -> tuple[Look, ...]:
    """Put the jobs of a study together; of `gone` instances only the headers are left."""
    here = {uid: header for uid, header in known.items() if uid not in gone}
    by_seg: dict[str, list[Row[Any]]] = {}
    for job in jobs:
        by_seg.setdefault(job.seg_uid, []).append(job)
    found = []
    for seg_uid, generations in by_seg.items():
        generations.sort(key=lambda job: -job.generation)
        shown = tuple(_generation(connection, job) for job in generations)
        sr, problem = _latest_sr(connection, blobs, generations[0])
        seg = known.get(seg_uid)
        found.append(
            Look(
                seg_uid=seg_uid,
                label=", ".join(s.label for s in seg.segments) if seg else "",
                creator=seg.content_creator_name.replace("^", " ") if seg else "",
                generations=shown,
                lesions=_lesions(shown[0], sr, here),
                sr=sr,
                sr_problem=problem,
                assignment=connection.execute(
                    select(Assignment.__table__).where(Assignment.seg_uid == seg_uid)
                ).one_or_none(),
            )
        )
    return tuple(found)


def _latest_sr(
    connection: Connection, blobs: BlobStore, job: Row[Any]
) -> tuple[SrPage | None, str]:
    sha256 = connection.scalar(
        select(Report.blob_sha256).where(Report.job_id == job.id, Report.kind == "sr")
    )
    if sha256 is None:
        return None, ""
    try:
        return read_sr(blobs.path(sha256)), ""
    except InputError as error:
        return None, str(error)


def _generation(connection: Connection, job: Row[Any]) -> Generation:
    reports = connection.execute(
        select(
            Report.__table__,
            Withdrawal.kind.label("withdrawal"),
            Withdrawal.reason.label("why"),
            Withdrawal.withdrawn_by,
        )
        .outerjoin(Withdrawal, Withdrawal.report_id == Report.id)
        .where(Report.job_id == job.id)
        .order_by(Report.id)
    ).all()
    deliveries = connection.execute(
        select(Delivery.__table__).where(Delivery.job_id == job.id).order_by(Delivery.id)
    ).all()
    findings = connection.scalars(
        select(FindingRow.finding).where(FindingRow.job_id == job.id).order_by(FindingRow.id)
    ).all()
    missing = connection.scalars(
        select(JobNeed.sop_instance_uid).where(JobNeed.job_id == job.id)
    ).all()
    sr = next((row for row in reports if row.kind == "sr"), None)
    return Generation(
        job=job.id,
        number=job.generation,
        state=job.state,
        reason=job.reason,
        created_at=job.created_at,
        updated_at=job.updated_at,
        expired=job.expired_at is not None,
        report=None if sr is None else sr.id,
        standing="" if sr is None else sr.withdrawal or "current",
        withdrawn_by="" if sr is None else sr.withdrawn_by or "",
        withdrawal_reason="" if sr is None else sr.why or "",
        parts=tuple(
            Part(
                row.kind,
                row.sop_instance_uid,
                row.series_instance_uid,
                row.size,
                tuple(one for one in deliveries if one.report_id == row.id),
            )
            for row in reports
        ),
        findings=tuple(findings),
        cases=tuple(Case.from_json(case) for case in job.cases["cases"]),
        missing=tuple(missing),
    )


def _lesions(
    generation: Generation, sr: SrPage | None, known: Mapping[str, InstanceHeader]
) -> tuple[Lesion, ...]:
    by_case = {finding["case"]: finding for finding in generation.findings}
    return tuple(
        Lesion(case, by_case.get(case.name), frame_of(case, sr, known)) for case in generation.cases
    )


def frame_of(case: Case, sr: SrPage | None, known: Mapping[str, InstanceHeader]) -> Frame | None:
    """Return the frame that was assessed, as the report says; before it, the first candidate."""
    image, number = "", 1
    drawing = None
    if case.sources:
        image, number = case.sources[0].sop_instance_uid, case.sources[0].frame_number
    if sr is not None:
        drawing = sr.drawing(case.tracking_uid, image)
        if drawing is not None:
            image, number = drawing.image, drawing.frame
    header = known.get(image)
    if header is None or not header.rows:
        return None
    return Frame(
        header.study_instance_uid,
        header.series_instance_uid,
        image,
        number,
        header.rows,
        header.columns,
        drawing,
    )
