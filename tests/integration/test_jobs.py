"""Jobs on the real engine: what is acknowledged gets an outcome, once, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, func, insert, select, text
from sqlalchemy.exc import DatabaseError

from node.audit import schema
from node.audit.tables import Delivery, FindingRow, Instance, LedgerJob, Report
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.case import (
    BundleIdentity,
    CaseResult,
    Evidence,
    Finding,
    FrameReference,
    InstanceHeader,
    Refusal,
)
from node.config import PairingSettings
from node.database import open_engine, utc_now
from node.errors import JobError, PairingError
from node.jobs import states
from node.jobs.admin import Desk, list_jobs, show_job
from node.jobs.assessing import Assessor
from node.jobs.dbos_engine import DbosEngine, DbosEnqueuer, migrate
from node.jobs.delivering import Deliverer
from node.jobs.pairing import Pairer, arrival
from node.jobs.stages import (
    Assessment,
    AssessmentRequest,
    Parcel,
    Receipt,
    ReportObject,
    Stages,
)
from node.pair.completeness import decide
from tests.factories import a_seg, a_segment, an_image

GREY = "1.2.3.1"


@dataclass
class Rooms:
    """The rooms above the jobs, as small as they can be; a test bends them."""

    requests: list[AssessmentRequest] = field(default_factory=list)
    deliveries: list[tuple[str, tuple[Parcel, ...]]] = field(default_factory=list)
    refuse: bool = False
    breaks: int = 0
    receipts: Callable[[Parcel, int], Receipt] = lambda parcel, attempt: Receipt(
        parcel.sop_instance_uid, "proven"
    )

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
        uid = f"2.25.{abs(hash((request.seg_uid, request.generation)))}"
        report = ReportObject("sr", "1.2.840.10008.5.1.4.1.1.88.34", uid, "1.5", "1.2.3", b"SR")
        return Assessment(results, (report,))

    def deliver(self, destination: str, parcels: tuple[Parcel, ...]) -> list[Receipt]:
        self.deliveries.append((destination, tuple(parcels)))
        return [self.receipts(parcel, len(self.deliveries)) for parcel in parcels]

    def stages(self, *destinations: str) -> Stages:
        return Stages(
            pair=lambda question: decide(
                question, PairingSettings(grace_s=0, unreferenced_quiet_s=0)
            ),
            assess=self.assess,
            deliver=self.deliver,
            retry_after=lambda attempt, receipts: 0.01 if attempt < 3 else None,
            destinations=destinations,
        )


@dataclass
class Node:
    """A database with the engine running on it."""

    database: Engine
    rooms: Rooms
    desk: Desk
    enqueuer: DbosEnqueuer

    def receive(self, header: InstanceHeader) -> None:
        with self.database.begin() as connection:
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
            instance_id = connection.execute(row.returning(Instance.id)).scalar_one()
            self.enqueuer.enqueue(connection, arrival(instance_id))

    def settles(self, state: str, jobs: int = 1) -> list[dict]:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            found = list_jobs(self.database)
            if len(found) == jobs and all(job["state"] == state for job in found):
                return found
            time.sleep(0.02)
        pytest.fail(f"wanted {jobs} job(s) {state}, found {list_jobs(self.database)}")


@pytest.fixture
def a_running_node(tmp_path: Path) -> Iterator[Node]:
    database = open_engine(f"sqlite:///{tmp_path / 'node.db'}")
    schema.upgrade(database)
    migrate(database)
    rooms, trail, blobs = Rooms(), Trail("test"), BlobStore(tmp_path / "blobs")
    engine = DbosEngine(database, "work-1")
    stages = rooms.stages("pacs", "archive")
    engine.start(
        {
            "pairing": Pairer(database, trail, engine, stages),
            "inference": Assessor(database, trail, engine, stages, blobs),
            "delivery": Deliverer(database, trail, engine, stages, blobs),
        },
        {"pairing": 2, "inference": 1, "delivery": 2},
    )
    yield Node(database, rooms, Desk(database, Trail("admin"), engine), engine)
    engine.stop(5)
    database.dispose()


@pytest.mark.parametrize("seg_first", [False, True])
def test_a_seg_and_its_image_make_one_report_in_either_order(
    a_running_node: Node, seg_first: bool
) -> None:
    arrivals = [an_image(GREY), a_seg(a_segment(1, GREY))]
    for header in reversed(arrivals) if seg_first else arrivals:
        a_running_node.receive(header)
        time.sleep(0.2)
    (job,) = a_running_node.settles("done")
    shown = show_job(a_running_node.database, job["id"])
    assert [report["kind"] for report in shown["reports"]] == ["sr"]
    assert {d["destination"]: d["state"] for d in shown["deliveries"]} == {
        "pacs": "proven",
        "archive": "proven",
    }
    assert len(a_running_node.rooms.requests) == 1


def test_a_seg_waits_visibly_for_its_image(a_running_node: Node) -> None:
    a_running_node.receive(a_seg(a_segment(1, GREY)))
    (job,) = a_running_node.settles("waiting")
    assert show_job(a_running_node.database, job["id"])["missing"] == [GREY]


def test_an_assessment_that_fails_is_tried_again(a_running_node: Node) -> None:
    a_running_node.rooms.breaks = 1
    a_running_node.receive(an_image(GREY))
    a_running_node.receive(a_seg(a_segment(1, GREY)))
    a_running_node.settles("done")
    assert len(a_running_node.rooms.requests) == 2


def test_a_refused_case_ends_refused_after_its_report_is_delivered(a_running_node: Node) -> None:
    a_running_node.rooms.refuse = True
    a_running_node.receive(an_image(GREY))
    a_running_node.receive(a_seg(a_segment(1, GREY)))
    (job,) = a_running_node.settles("refused")
    assert len(show_job(a_running_node.database, job["id"])["deliveries"]) == 2


def test_what_is_proven_is_never_sent_again(a_running_node: Node) -> None:
    def receipts(parcel: Parcel, attempt: int) -> Receipt:
        return Receipt(parcel.sop_instance_uid, "proven" if attempt > 2 else "sent")

    a_running_node.rooms.receipts = receipts
    a_running_node.receive(an_image(GREY))
    a_running_node.receive(a_seg(a_segment(1, GREY)))
    a_running_node.settles("done")
    by_destination: dict[str, list[bool]] = {}
    for destination, parcels in a_running_node.rooms.deliveries:
        by_destination.setdefault(destination, []).append(parcels[0].sent)
    for sent_before in by_destination.values():
        assert sent_before[0] is False
        assert all(sent_before[1:])


def test_a_dead_letter_comes_back_to_life_by_a_retry(a_running_node: Node) -> None:
    a_running_node.rooms.receipts = lambda parcel, _: Receipt(
        parcel.sop_instance_uid, "failed", "connection refused"
    )
    a_running_node.receive(an_image(GREY))
    a_running_node.receive(a_seg(a_segment(1, GREY)))
    (job,) = a_running_node.settles("dead")
    shown = show_job(a_running_node.database, job["id"])
    assert {d["last_error"] for d in shown["deliveries"]} == {"connection refused"}
    a_running_node.rooms.receipts = lambda parcel, _: Receipt(parcel.sop_instance_uid, "proven")
    assert a_running_node.desk.retry(job["id"]) == "delivering"
    a_running_node.settles("done")
    assert len(a_running_node.rooms.requests) == 1


def test_a_cancelled_job_is_not_assessed(a_running_node: Node) -> None:
    a_running_node.receive(a_seg(a_segment(1, GREY)))
    (job,) = a_running_node.settles("waiting")
    a_running_node.desk.cancel(job["id"])
    a_running_node.receive(an_image(GREY))
    time.sleep(0.5)
    a_running_node.settles("dead")
    assert a_running_node.rooms.requests == []
    with pytest.raises(JobError, match="no job 99"):
        a_running_node.desk.cancel(99)


def test_a_held_case_waits_until_a_person_assigns_the_image(a_running_node: Node) -> None:
    for uid in (GREY, "1.2.3.4"):
        a_running_node.receive(an_image(uid))
    time.sleep(0.3)
    a_running_node.receive(a_seg(a_segment()))
    a_running_node.settles("held")
    a_running_node.desk.assign("1.2.3.9", FrameReference("1.2.3.4"))
    a_running_node.settles("done")
    assert a_running_node.rooms.requests[0].cases[0].sources == (FrameReference("1.2.3.4"),)
    with pytest.raises(PairingError, match="done"):
        a_running_node.desk.assign("1.2.3.9", FrameReference(GREY))
    with pytest.raises(PairingError, match="no SEG"):
        a_running_node.desk.assign("7.7", FrameReference(GREY))


def test_a_late_colour_mask_makes_a_new_generation_that_supersedes(a_running_node: Node) -> None:
    colour = an_image("1.2.3.2", colour_flow=True)
    a_running_node.receive(an_image(GREY))
    a_running_node.receive(a_seg(a_segment(1, GREY, tracking_uid="1.9")))
    a_running_node.settles("done")
    a_running_node.receive(colour)
    a_running_node.receive(a_seg(a_segment(1, "1.2.3.2", tracking_uid="1.9"), uid="1.2.3.10"))
    jobs = a_running_node.settles("done", jobs=3)
    assert sorted((job["seg"], job["generation"]) for job in jobs) == [
        ("1.2.3.10", 1),
        ("1.2.3.9", 1),
        ("1.2.3.9", 2),
    ]
    first, second = a_running_node.rooms.requests
    assert first.predecessor is None
    assert second.predecessor is not None
    assert second.cases[0].doppler[0][0] == "1.2.3.10"
    with a_running_node.database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Report)) == 2


def test_every_change_of_a_job_has_its_ledger_row(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY))
    a_running_node.receive(a_seg(a_segment(1, GREY)))
    a_running_node.settles("done")
    with a_running_node.database.connect() as connection:
        events = connection.scalars(select(LedgerJob.event).order_by(LedgerJob.id)).all()
        assert events == ["created", "queued", "running", "delivering", "done"]
        assert connection.scalar(select(func.count()).select_from(FindingRow)) == 1
        assert connection.scalar(select(func.count()).select_from(Delivery)) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_job SET event = 'x'",
        "DELETE FROM ledger_job",
        "INSERT OR REPLACE INTO ledger_job SELECT * FROM ledger_job",
    ],
)
def test_ledger_rows_cannot_be_changed(a_running_node: Node, statement: str) -> None:
    a_running_node.receive(a_seg(a_segment(1, GREY)))
    a_running_node.settles("waiting")
    with (
        pytest.raises(DatabaseError, match="append-only"),
        a_running_node.database.begin() as connection,
    ):
        connection.execute(text(statement))


def test_a_state_only_follows_where_it_may() -> None:
    assert states.may_follow("queued", "running")
    assert not states.may_follow("done", "queued")
    assert not states.may_follow("waiting", "delivering")
