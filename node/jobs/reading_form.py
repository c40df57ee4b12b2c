"""A reading that a person enters in the console: kept and handed to pairing in one transaction.

It counts like a radiologist's SR: the case is assessed again with what was read, in a new
generation, and the new report supersedes the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Row, insert
from sqlalchemy.engine import Engine as Database

from node.audit.tables import ReadingRow
from node.audit.trail import Trail
from node.case import Case
from node.database import lock, utc_now
from node.errors import InputError, JobError
from node.jobs import states
from node.jobs.arriving import ANEW
from node.jobs.engine import Enqueuer, Task
from node.jobs.pairing import current_instance, latest_job
from sr_templates.features import features

SHORTEST_MM: Final = 0.1
LONGEST_MM: Final = 1000.0
_MOST_LETTERS: Final = 64  # of a PN component group (PS3.5 section 6.2)


@dataclass(frozen=True, slots=True)
class FormReading:
    """What a person read of one case.

    Attributes:
        job: The case's job, of its SEG's latest generation.
        case: Name of the case.
        reader: Who read, for the report.
        features: Values by feature name, in the finding's words, lengths in mm; what was not
            read is absent and stays as it is measured.

    Raises:
        InputError: If nothing was read, or a value is none of its feature's.
    """

    job: int
    case: str
    reader: str
    features: Mapping[str, float | str]

    def __post_init__(self) -> None:
        if not self.reader.strip() or len(self.reader) > _MOST_LETTERS:
            raise InputError(f"say who read, in at most {_MOST_LETTERS} letters")
        if not self.features:
            raise InputError("a reading says at least one feature")
        known = {feature.name: feature for feature in features()}
        for name, value in self.features.items():
            if name not in known:
                raise InputError(f"there is no feature {name!r}")
            if known[name].kind == "code":
                if value not in known[name].values:
                    raise InputError(f"{known[name].label} has no value {value!r}")
            elif not isinstance(value, float) or not SHORTEST_MM <= value <= LONGEST_MM:
                raise InputError(
                    f"{known[name].label} is a length from {SHORTEST_MM} to {LONGEST_MM:.0f} mm"
                )


@dataclass(frozen=True)
class ReadingDesk:
    """Where a person leaves a reading; the ledger says who."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer

    def leave(self, reading: FormReading) -> str:
        """Keep a reading and have its case assessed again; return its source, `web:<id>`.

        Raises:
            JobError: If there is no such case, a later generation stands, or its SEG has expired.
        """
        source = f"web:{uuid4()}"
        with self.database.begin() as connection:
            lock(connection, states.find(connection, reading.job).study_instance_uid)
            job = states.find(connection, reading.job)
            case = _case(job, reading.case)
            latest = latest_job(connection, job.seg_uid)
            if latest is not None and latest.id != job.id:
                raise JobError(
                    f"job {job.id} has a later generation, {latest.generation}: read that one"
                )
            seg = current_instance(connection, job.seg_uid)
            if seg is None:
                raise JobError(f"the images of job {job.id} have expired; send the study again")
            self._keep(connection, job, case, reading, source)
            self.enqueuer.enqueue(connection, Task("pairing", f"read:{source}", (seg.id, ANEW)))
        return source

    def _keep(
        self,
        connection: Connection,
        job: Row[Any],
        case: Case,
        reading: FormReading,
        source: str,
    ) -> None:
        now = utc_now()
        connection.execute(
            insert(ReadingRow).values(
                source=source,
                study_instance_uid=job.study_instance_uid,
                patient_id=job.patient_id,
                tracking_uid=case.tracking_uid,
                seg_uid=case.seg_uid,
                segment_number=case.segment_number,
                reader=reading.reader.strip(),
                read_at=now.isoformat(timespec="seconds"),
                verified=False,
                features=dict(reading.features),
                detail={"images": [], "job": job.id, "by": self.trail.actor},
                created_at=now,
            )
        )
        self.trail.record(
            connection,
            "reading",
            "received",
            source,
            {
                "case": case.name,
                "job": job.id,
                "reader": reading.reader.strip(),
                "features": dict(reading.features),
            },
            study=job.study_instance_uid,
            patient=job.patient_id,
        )


def _case(job: Row[Any], name: str) -> Case:
    for case in job.cases["cases"]:
        if case["name"] == name:
            return Case.from_json(case)
    raise JobError(f"job {job.id} has no case {name}")
