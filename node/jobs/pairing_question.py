"""What pairing is asked: the SEG, its study, and what may have been waited for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from node.audit.tables import Assignment, Association, Instance, Job, JobNeed
from node.case import FrameReference, InstanceHeader
from node.database import lock, utc_now
from node.jobs import completion, reading
from node.jobs.stages import PairingQuestion

SEGMENTATIONS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation Storage (PS3.4 section B.5)
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation Storage
    }
)


def wanted_by(seg: InstanceHeader, assignment: FrameReference | None) -> set[str]:
    """Return the instances that a SEG was drawn on, or that a person named."""
    wanted = {source.sop_instance_uid for s in seg.segments for source in s.sources}
    return wanted if assignment is None else wanted | {assignment.sop_instance_uid}


def touched_by(connection: Connection, image: Row[Any]) -> list[str]:
    """Return the SEGs whose jobs an image may set going: those that miss it, and the held.

    Where the study was told complete, and the image may be its last, also all that wait.
    """
    missing = (
        select(Job.seg_uid)
        .join(JobNeed, JobNeed.job_id == Job.id)
        .where(JobNeed.sop_instance_uid == image.sop_instance_uid)
    )
    held = select(Job.seg_uid).where(
        Job.study_instance_uid == image.study_instance_uid, Job.state == "held"
    )
    if completion.is_told(connection, image.study_instance_uid):
        held = select(Job.seg_uid).where(
            Job.study_instance_uid == image.study_instance_uid,
            Job.state.in_(("held", "waiting")),
        )
    return sorted(set(connection.scalars(missing)) | set(connection.scalars(held)))


def question_about(connection: Connection, seg: Row[Any]) -> PairingQuestion:
    """Gather all that pairing may know about a SEG now; what it refers to is locked."""
    header = InstanceHeader.from_json(seg.header)
    assigned = connection.execute(
        select(Assignment.__table__).where(Assignment.seg_uid == header.sop_instance_uid)
    ).one_or_none()
    assignment = (
        None
        if assigned is None
        else FrameReference(assigned.sop_instance_uid, assigned.frame_number)
    )
    wanted = wanted_by(header, assignment)
    for uid in sorted(wanted):
        lock(connection, uid)
    rows = connection.execute(
        select(Instance.__table__)
        .where(
            Instance.standing == "current",
            (Instance.study_instance_uid == header.study_instance_uid)
            | Instance.sop_instance_uid.in_(wanted),
        )
        .order_by(Instance.id)
    ).all()
    headers = {row.sop_instance_uid: InstanceHeader.from_json(row.header) for row in rows}
    segs = {row.sop_instance_uid for row in rows if row.sop_class_uid in SEGMENTATIONS}
    own_study = [row for row in rows if row.study_instance_uid == header.study_instance_uid]
    arriving = select(Association.id).where(
        Association.closed_at.is_(None),
        Association.id.in_({row.association_id for row in own_study if row.association_id}),
    )
    return PairingQuestion(
        seg=header,
        seg_received_at=seg.received_at,
        images={u: h for u, h in headers.items() if u not in segs and h.rows > 0},
        siblings=[headers[u] for u in headers if u in segs and u != header.sop_instance_uid],
        assignment=assignment,
        study_changed_at=max(row.received_at for row in own_study),
        study_arriving=connection.execute(arriving.limit(1)).first() is not None,
        now=utc_now(),
        readings=reading.readings_of(connection, header.study_instance_uid),
        study_complete=completion.is_complete(
            connection, header.study_instance_uid, {row.sop_instance_uid for row in own_study}
        ),
    )
