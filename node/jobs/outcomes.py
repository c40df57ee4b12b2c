"""What a lesion turned out to be: outcomes as they come, and the case that each belongs to.

An outcome of a patient, study or lesion that the node does not know is kept all the same, with an
empty case; `monitoring` looks again when it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Instance, Job, Outcome
from node.audit.trail import Trail
from node.database import lock, read_only, utc_now

Kind = Literal["pathology", "verified-sr"]
Standing = Literal["new", "changed", "known"]

_SOURCE_LENGTH = 80  # of the outcome table


@dataclass(frozen=True, slots=True)
class OutcomeSaid:
    """One outcome as its source says it.

    Attributes:
        source: Names this statement: the same source later is a correction of it.
        malignant: None where the source does not say it clearly.
        agrees: Whether it agrees with our report; None where it does not say.
        observed_at: ISO 8601 date or time, "" if it does not say.
        case_name: `<SEG UID>#<segment>`, if the source knows it.
        detail: What else was said, for the audit.
    """

    kind: Kind
    source: str
    malignant: bool | None
    agrees: bool | None = None
    observed_at: str = ""
    patient_id: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""
    tracking_uid: str = ""
    case_name: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.patient_id or self.accession_number or self.study_instance_uid):
            raise ValueError("an outcome names a patient, an accession number or a study")
        if not self.source or len(self.source) > _SOURCE_LENGTH:
            raise ValueError(f"an outcome's source has 1 to {_SOURCE_LENGTH} characters")


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of an outcome: `case_name` is "" where it fits no case, or more than one."""

    standing: Standing
    case_name: str
    study_instance_uid: str


def source_of(kind: str, *parts: str) -> str:
    """Name a statement by what it is about, so that the same again is recognised."""
    return f"{kind}:{sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def keep_outcomes(
    database: Database, trail: Trail, outcomes: Sequence[OutcomeSaid]
) -> tuple[Kept, ...]:
    """Write outcomes, all or none, each with its ledger row."""
    with database.begin() as connection:
        lock(connection, "outcomes")
        return tuple(keep_outcome(connection, trail, said) for said in outcomes)


def keep_outcome(connection: Connection, trail: Trail, said: OutcomeSaid) -> Kept:
    """Write one outcome; a known source is corrected, the same again changes nothing."""
    study, patient, case = _place(connection, said)
    values: dict[str, Any] = {
        "kind": said.kind,
        "case_name": case,
        "study_instance_uid": study,
        "patient_id": patient,
        "malignant": said.malignant,
        "agrees": said.agrees,
        "observed_at": said.observed_at,
        "detail": {
            **said.detail,
            "accession_number": said.accession_number,
            "tracking_uid": said.tracking_uid,
        },
    }
    known = connection.execute(
        select(Outcome.__table__).where(Outcome.source == said.source)
    ).one_or_none()
    if known is None:
        connection.execute(
            insert(Outcome).values(source=said.source, created_at=utc_now(), **values)
        )
    elif all(known._mapping[name] == value for name, value in values.items()):  # noqa: SLF001 - SQLAlchemy's public name
        return Kept("known", case, study)
    else:
        connection.execute(update(Outcome).where(Outcome.id == known.id).values(**values))
    trail.record(
        connection,
        "reading",
        "outcome" if known is None else "outcome-corrected",
        said.source,
        values,
        study=study,
        patient=patient,
    )
    return Kept("new" if known is None else "changed", case, study)


def list_outcomes(database: Database, limit: int = 1000) -> list[dict[str, Any]]:
    """Return the latest outcomes, newest first, as plain values."""
    query = select(Outcome.__table__).order_by(Outcome.id.desc()).limit(limit)
    with read_only(database) as connection:
        return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def latest_cases(connection: Connection, studies: Sequence[str]) -> list[tuple[Row[Any], Any]]:
    """Return (job, case) of the latest generation of every SEG of some studies."""
    rows = connection.execute(
        select(Job.__table__).where(Job.study_instance_uid.in_(studies)).order_by(Job.id)
    )
    latest = {row.seg_uid: row for row in rows}
    return [(job, case) for job in latest.values() for case in job.cases["cases"]]


def _place(connection: Connection, said: OutcomeSaid) -> tuple[str, str, str]:
    """Return study, patient and case as far as the node knows them."""
    studies = _studies(connection, said)
    cases = [
        (job, case)
        for job, case in latest_cases(connection, studies)
        if (not said.tracking_uid or case["tracking_uid"] == said.tracking_uid)
        and (not said.case_name or case["name"] == said.case_name)
    ]
    lesions = {case["tracking_uid"] or case["name"] for _, case in cases}
    study = studies[0] if len(studies) == 1 else said.study_instance_uid
    if len(lesions) != 1:
        return study, said.patient_id or _patient(connection, study), ""
    job, case = cases[-1]
    return job.study_instance_uid, said.patient_id or job.patient_id, case["name"]


def _studies(connection: Connection, said: OutcomeSaid) -> list[str]:
    query = select(Instance.study_instance_uid).distinct()
    if said.study_instance_uid:
        query = query.where(Instance.study_instance_uid == said.study_instance_uid)
    if said.patient_id:
        query = query.where(Instance.patient_id == said.patient_id)
    if said.accession_number:
        accession = Instance.header["accession_number"].as_string()
        query = query.where(accession == said.accession_number)
    return sorted(connection.scalars(query))


def _patient(connection: Connection, study: str) -> str:
    if not study:
        return ""
    query = select(Instance.patient_id).where(Instance.study_instance_uid == study).limit(1)
    return connection.scalar(query) or ""
