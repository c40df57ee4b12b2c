"""Jobs on a real engine and database, with the rooms above as small as they can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, insert

from node.audit import schema
from node.audit.tables import Instance
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.case import (
    BundleIdentity,
    CaseResult,
    Evidence,
    Finding,
    InstanceHeader,
    Pairing,
    Refusal,
)
from node.config import PairingSettings
from node.database import open_engine, utc_now
from node.jobs.admin import Desk, list_jobs
from node.jobs.arriving import arrivals
from node.jobs.assessing import Assessor
from node.jobs.circuit import PACE, Pace
from node.jobs.dbos_engine import DbosEngine, migrate
from node.jobs.delivering import Deliverer
from node.jobs.engine import Handler, Queue
from node.jobs.pairing import Pairer
from node.jobs.stages import (
    Assessment,
    AssessmentRequest,
    PairingQuestion,
    Parcel,
    Receipt,
    Rejection,
    ReportObject,
    Stages,
    Wish,
)
from node.pair.completeness import decide
from sr_templates.readings import ReadingError, ReportRead
from tests.factories import STUDY
from tests.postgres import postgres
from tests.waiting import wait_for

DATABASES = ("sqlite", "postgresql")
_STUDIES = count(1001)


@contextmanager
def a_database(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty database at the current schema."""
    if kind == "postgresql":
        with postgres() as peer:
            url = peer.new_database()
            _upgrade(url)
            yield url
        return
    url = f"sqlite:///{folder / 'node.db'}"
    _upgrade(url)
    yield url


def _upgrade(url: str) -> None:
    database = open_engine(url)
    schema.upgrade(database)
    migrate(database)
    database.dispose()


@dataclass
class Rooms:
    """The rooms above the jobs, as small as they can be; a test bends them."""

    requests: list[AssessmentRequest] = field(default_factory=list)
    deliveries: list[tuple[str, tuple[Parcel, ...]]] = field(default_factory=list)
    report: ReportRead | None = None
    refuse: bool = False
    breaks: int = 0
    receipts: Callable[[Parcel, int], Receipt] = lambda parcel, attempt: Receipt(
        parcel.sop_instance_uid, "proven"
    )

    def pair(self, question: PairingQuestion) -> Pairing:
        return decide(question, PairingSettings(grace_s=0, unreferenced_quiet_s=0))

    def read(self, path: Path) -> ReportRead:
        if self.report is None:
            raise ReadingError(f"nobody read anything in {path.name}")
        return self.report

    def assess(self, request: AssessmentRequest) -> Assessment:
        self.requests.append(request)
        if len(self.requests) <= self.breaks:
            raise RuntimeError("the worker lost its mind")
        results = tuple(
            CaseResult(
                case,
                Finding(
                    case=case.name,
                    status="refused" if self.refuse else "assessed",
                    probability=None if self.refuse else 0.7,
                    malignancy=None if self.refuse else "malignant",
                    threshold=0.5,
                    model="PreCRDL",
                    fallback_reason="",
                    refusal=Refusal("empty-mask", "The mask is empty.") if self.refuse else None,
                    semantic={},
                    features_sha256="0" * 64,
                    bundle=BundleIdentity("b", "1", "1" * 64),
                    device="cpu",
                ),
                Evidence(case.sources[0], 1, np.empty((0, 2)), None, None),
            )
            for case in request.cases
        )
        name = f"{request.seg_uid}/{request.generation}".encode()
        uid = f"2.25.{int.from_bytes(sha256(name).digest()[:15])}"
        study = request.instances[request.seg_uid].header.study_instance_uid
        report = ReportObject("sr", "1.2.840.10008.5.1.4.1.1.88.34", uid, "1.5", study, b"SR")
        return Assessment(results, (report,))

    def deliver(self, destination: str, parcels: tuple[Parcel, ...]) -> list[Receipt]:
        self.deliveries.append((destination, tuple(parcels)))
        return [self.receipts(parcel, len(self.deliveries)) for parcel in parcels]


def a_note(rejection: Rejection) -> ReportObject:
    """A rejection note as small as it can be: it names what it rejects."""
    named = " ".join((rejection.kind, *(one.sop_instance_uid for one in rejection.objects)))
    uid = f"2.25.{int.from_bytes(sha256(named.encode()).digest()[:15])}"
    return ReportObject("note", "1.2.840.10008.5.1.4.1.1.88.59", uid, "1.6", "1.7", named.encode())


@dataclass
class Node:
    """A database with the engine running on it; each test has a study of its own there."""

    database: Engine
    trail: Trail
    blobs: BlobStore
    engine: DbosEngine
    desk: Desk
    rooms: Rooms = field(default_factory=Rooms)
    study: str = ""
    pace: Pace = PACE
    tries: int = 3

    def anew(self) -> None:
        """Forget the last test: other rooms, another study."""
        self.rooms = Rooms()
        self.study = f"1.2.{next(_STUDIES)}"

    def uid(self, uid: str) -> str:
        """The UID that a factory's UID (1.2.3...) has in this test's study."""
        return self.study + uid.removeprefix(STUDY)

    def stages(self, *destinations: str | Wish) -> Stages:
        return Stages(
            pair=self.rooms.pair,
            read=self._read,
            assess=self._assess,
            deliver=self._deliver,
            retry_after=lambda attempt, receipts: 0.01 if attempt < self.tries else None,
            reject=a_note,
            destinations=tuple(w if isinstance(w, Wish) else Wish(w) for w in destinations),
        )

    def _read(self, path: Path) -> ReportRead:
        return self.rooms.read(path)

    def _assess(self, request: AssessmentRequest) -> Assessment:
        return self.rooms.assess(request)  # the rooms of the moment

    def _deliver(self, destination: str, parcels: Sequence[Parcel]) -> Sequence[Receipt]:
        return self.rooms.deliver(destination, tuple(parcels))

    def handlers(self, *destinations: str | Wish) -> dict[Queue, Handler]:
        rooms = (self.database, self.trail, self.engine, self.stages(*destinations))
        return {
            "pairing": Pairer(*rooms, self.blobs),
            "inference": Assessor(*rooms, self.blobs),
            "delivery": Deliverer(*rooms, self.blobs, self.pace),
        }

    def receive(self, *headers: InstanceHeader) -> None:
        """Acknowledge instances, moved into this test's study."""
        for header in headers:
            with self.database.begin() as connection:
                instance_id = keep(connection, self._moved(header))
                self.engine.enqueue(connection, arrivals([instance_id]))

    def _moved(self, header: InstanceHeader) -> InstanceHeader:
        text = json.dumps(header.to_json()).replace(f'"{STUDY}', f'"{self.study}')
        return InstanceHeader.from_json(json.loads(text))

    def jobs(self) -> list[dict[str, Any]]:
        found = list_jobs(self.database, limit=1000)
        return [job for job in found if job["study"] == self.study]

    def settles(self, state: str, jobs: int = 1) -> list[dict[str, Any]]:
        wait_for(
            lambda: [job["state"] for job in self.jobs()] == [state] * jobs,
            lambda: f"wanted {jobs} job(s) {state}, found {self.jobs()}",
        )
        return self.jobs()


def keep(connection: Connection, header: InstanceHeader) -> int:
    """Insert an instance as the receiver does; return its row's id."""
    row = insert(Instance).values(
        sop_instance_uid=header.sop_instance_uid,
        version=1,
        standing="current",
        sop_class_uid=header.sop_class_uid,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        modality=header.modality,
        patient_id=header.patient_id,
        blob_sha256="0" * 64,
        size=1,
        header=header.to_json(),
        source="TEST",
        received_at=utc_now(),
    )
    return int(connection.execute(row.returning(Instance.id)).scalar_one())


@contextmanager
def a_node(
    url: str,
    folder: Path,
    executor_id: str,
    *destinations: str | Wish,
    pace: Pace = PACE,
    tries: int = 3,
) -> Iterator[Node]:
    """A node of one process on a database."""
    database = open_engine(url)
    trail, blobs = Trail("test"), BlobStore(folder / "blobs", executor_id)
    engine = DbosEngine(database, executor_id)
    node = Node(database, trail, blobs, engine, Desk(database, Trail("admin"), engine))
    node.anew()
    node.pace, node.tries = pace, tries
    engine.start(node.handlers(*destinations), {"pairing": 2, "inference": 1, "delivery": 2})
    try:
        yield node
    finally:
        engine.stop(5)
        database.dispose()
