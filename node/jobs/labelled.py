"""Lesions of which it is known what they turned out to be: what a cohort is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.engine import Engine as Database

from node.audit.tables import FindingRow, Instance, Job, Outcome
from node.blobs import BlobStore
from node.case import Case, InstanceHeader
from node.database import read_only
from node.jobs.edge import RoutingFacts
from node.jobs.monitoring import Kinds, lesion_of, truths_of
from node.jobs.routing import header_facts, with_results


@dataclass(frozen=True, slots=True)
class KeptInstance:
    """An instance that the node holds."""

    header: InstanceHeader
    path: Path
    source: str


@dataclass(frozen=True, slots=True)
class LabelledLesion:
    """A lesion with its outcome.

    Attributes:
        case: As it was assessed last.
        lesions: How many lesions the same SEG outlines.
        malignant: What it turned out to be.
        facts: What rules could ask of it.
        seg: The SEG; None where its bytes are gone, and so are the others.
        grey: The image that it was drawn on.
        colour: The Doppler image on which the same SEG outlines it.
    """

    case: Case
    lesions: int
    patient_id: str
    issuer: str
    study_instance_uid: str
    malignant: bool
    facts: RoutingFacts
    seg: KeptInstance | None
    grey: KeptInstance | None
    colour: KeptInstance | None


def labelled_lesions(
    database: Database,
    blobs: BlobStore,
    since: datetime | None = None,
    until: datetime | None = None,
    kinds: Kinds = ("pathology", "verified-sr"),
) -> list[LabelledLesion]:
    """Return every lesion with an outcome, in the order of its latest finding.

    Args:
        database: The node's.
        blobs: Where instances lie.
        since: Findings from then on.
        until: Findings before then.
        kinds: Outcomes to use; pathology counts before a verified report.
    """
    with read_only(database) as connection:
        rows = connection.execute(
            select(FindingRow.__table__, Job.study_instance_uid, Job.patient_id, Job.cases)
            .join(Job, Job.id == FindingRow.job_id)
            .order_by(FindingRow.id)
        ).all()
        outcomes = connection.execute(
            select(Outcome.__table__)
            .where(Outcome.malignant.is_not(None), Outcome.kind.in_(kinds))
            .order_by(Outcome.id)
        ).all()
        lesions: dict[tuple[str, str], Row[Any]] = {}
        for row in rows:
            lesions.pop(lesion_of(row), None)  # the latest finding also has the latest place
            lesions[lesion_of(row)] = row
        truths = truths_of(lesions, outcomes)
        return [
            _lesion(connection, blobs, row, bool(truths[key].malignant))
            for key, row in lesions.items()
            if key in truths
            and (since is None or row.created_at >= since)
            and (until is None or row.created_at < until)
        ]


def _lesion(
    connection: Connection,
    blobs: BlobStore,
    row: Row[Any],
    malignant: bool,  # noqa: FBT001 - a value
) -> LabelledLesion:
    cases = [Case.from_json(case) for case in row.cases["cases"]]
    case = next(one for one in cases if one.name == row.case_name)
    kept = _kept(connection, blobs, case)
    seg = kept.get(case.seg_uid)
    grey = next(
        (kept[f.sop_instance_uid] for f in case.sources if f.sop_instance_uid in kept), None
    )
    colours = [frame.sop_instance_uid for uid, _, frame in case.doppler if uid == case.seg_uid]
    facts = RoutingFacts({}, assessed=False)
    if seg is not None:
        headers = {uid: one.header for uid, one in kept.items()}
        facts = header_facts(seg.header, [case], headers, [one.source for one in kept.values()])
    return LabelledLesion(
        case=case,
        lesions=len(cases),
        patient_id=row.patient_id,
        issuer="" if seg is None else seg.header.issuer_of_patient_id,
        study_instance_uid=row.study_instance_uid,
        malignant=malignant,
        facts=with_results(facts, [row.finding]),
        seg=seg,
        grey=grey,
        colour=next((kept[uid] for uid in colours if uid in kept), None),
    )


def _kept(connection: Connection, blobs: BlobStore, case: Case) -> dict[str, KeptInstance]:
    query = select(
        Instance.sop_instance_uid, Instance.header, Instance.blob_sha256, Instance.source
    ).where(Instance.standing == "current", Instance.sop_instance_uid.in_(case.instances()))
    return {
        row.sop_instance_uid: KeptInstance(
            InstanceHeader.from_json(row.header), blobs.path(row.blob_sha256), row.source
        )
        for row in connection.execute(query)
    }


def export_rows(lesions: Sequence[LabelledLesion]) -> list[tuple[str, str, str]]:
    """Return (SOP Instance UID, study, patient) of all that an export gives out, each once."""
    found = {
        one.header.sop_instance_uid: (lesion.study_instance_uid, lesion.patient_id)
        for lesion in lesions
        for one in (lesion.seg, lesion.grey, lesion.colour)
        if one is not None
    }
    return [(uid, study, patient) for uid, (study, patient) in found.items()]
