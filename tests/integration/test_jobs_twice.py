"""Two executors run the same task at once: one was frozen, and its successor took over."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from node.audit.tables import Delivery, FindingRow, Job, LedgerDelivery, LedgerJob, Report
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.database import open_engine
from node.errors import JobError
from node.jobs import states
from node.jobs.admin import Desk, show_job
from node.jobs.assessing import Assessor
from node.jobs.delivering import Deliverer
from node.jobs.engine import Task
from node.jobs.pairing import Pairer
from node.jobs.stages import Assessment, AssessmentRequest, Parcel, Receipt, Stages, Wish
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Rooms, a_database, a_note, keep


@dataclass
class Notebook:
    """An engine that only writes down what it was to run: the test runs it."""

    tasks: list[Task] = field(default_factory=list)

    def enqueue(self, connection: Any, task: Task) -> None:
        del connection
        if task.key not in {known.key for known in self.tasks}:
            self.tasks.append(task)


@dataclass
class Bench:
    """The handlers of two executors on one database."""

    database: Engine
    blobs: BlobStore
    notebook: Notebook = field(default_factory=Notebook)
    rooms: Rooms = field(default_factory=Rooms)

    def stages(self, **bent: Any) -> Stages:
        values: dict[str, Any] = {
            "pair": None,
            "read": self.rooms.read,
            "assess": self.rooms.assess,
            "deliver": self.rooms.deliver,
            "retry_after": lambda attempt, receipts: 1.0 if attempt < 3 else None,
            "reject": a_note,
            "destinations": (Wish("pacs"), Wish("archive")),
        }
        return Stages(**(values | bent))

    def assessor(self, **bent: Any) -> Assessor:
        rooms = (self.database, Trail("work"), self.notebook, self.stages(**bent), self.blobs)
        return Assessor(*rooms)

    def deliverer(self, **bent: Any) -> Deliverer:
        rooms = (self.database, Trail("deliver"), self.notebook, self.stages(**bent), self.blobs)
        return Deliverer(*rooms)

    def a_queued_job(self, study: str) -> int:
        fields = {"study_instance_uid": study, "series_instance_uid": f"{study}.1"}
        image = an_image(f"{study}.2", **fields)
        seg = a_seg(a_segment(1, f"{study}.2"), uid=f"{study}.3", **fields)
        with self.database.begin() as connection:
            keep(connection, image)
            seg_id = keep(connection, seg)
        stages = self.stages(pair=self.rooms.pair)
        Pairer(self.database, Trail("work"), self.notebook, stages, self.blobs)(seg_id)
        with self.database.connect() as connection:
            return int(connection.scalars(select(Job.id).where(Job.seg_uid == f"{study}.3")).one())

    def count(self, table: type, job_id: int) -> int:
        with self.database.connect() as connection:
            query = select(func.count()).select_from(table).where(table.job_id == job_id)
            return int(connection.scalar(query) or 0)

    def deliveries(self, job_id: int) -> dict[str, str]:
        shown = show_job(self.database, job_id)["deliveries"]
        return {delivery["destination"]: delivery["state"] for delivery in shown}

    def state(self, job_id: int) -> str:
        return str(show_job(self.database, job_id)["state"])


@pytest.fixture(scope="module", params=DATABASES)
def an_address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with a_database(request.param, tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture
def a_bench(an_address: str, tmp_path: Path) -> Iterator[Bench]:
    database = open_engine(an_address)
    yield Bench(database, BlobStore(tmp_path / "blobs", "test"))
    database.dispose()


def test_two_assessments_of_one_job_make_one_report(a_bench: Bench) -> None:
    job_id = a_bench.a_queued_job("1.4.1")
    both_have_begun = Barrier(2, timeout=20)

    def assess(request: AssessmentRequest) -> Assessment:
        both_have_begun.wait()
        made = a_bench.rooms.assess(request)
        both_have_begun.wait()
        return made

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(a_bench.assessor(assess=assess), job_id, 0, 0) for _ in range(2)]
    assert [run.exception() for run in runs] == [None, None]
    assert a_bench.state(job_id) == "delivering"
    assert a_bench.count(FindingRow, job_id) == 1
    assert a_bench.count(Report, job_id) == 1
    assert a_bench.count(Delivery, job_id) == 2


def test_a_frozen_assessor_that_fails_late_does_not_undo_its_successor(a_bench: Bench) -> None:
    job_id = a_bench.a_queued_job("1.4.2")
    frozen, woken = Event(), Event()

    def fail_late(_: AssessmentRequest) -> Assessment:
        frozen.set()
        assert woken.wait(20)
        raise MemoryError("the frozen one")

    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(a_bench.assessor(assess=fail_late), job_id, 0, 0)
        assert frozen.wait(20)
        a_bench.assessor()(job_id, 0, 0)
        woken.set()
    assert late.exception() is None
    assert a_bench.state(job_id) == "delivering"


def test_a_job_that_kills_its_workers_waits_ever_longer_and_is_given_up(a_bench: Bench) -> None:
    job_id = a_bench.a_queued_job("1.4.3")

    def die(_: AssessmentRequest) -> Assessment:
        raise KeyboardInterrupt  # as near to SIGKILL as a thread can come: no handler sees it

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            a_bench.assessor(assess=die)(job_id, 0, 0)
    assert a_bench.state(job_id) == "running"
    for attempt, delay_s in enumerate((30, 120, 600)):
        a_bench.assessor(assess=die)(job_id, 0, attempt)
        assert a_bench.state(job_id) == "queued"
        waiting = a_bench.notebook.tasks[-1]
        assert waiting.arguments == (job_id, 0, attempt + 1)
        assert waiting.delay_s == delay_s
        with pytest.raises(KeyboardInterrupt):
            a_bench.assessor(assess=die)(*waiting.arguments)
    a_bench.assessor(assess=die)(job_id, 0, 3)
    assert a_bench.state(job_id) == "dead"
    with a_bench.database.connect() as connection:
        events = select(LedgerJob.event).where(LedgerJob.subject == "1.4.3.3/1")
        assert list(connection.scalars(events)).count("resumed") == 8
    assert Desk(a_bench.database, Trail("admin"), a_bench.notebook).retry(job_id) == "queued"
    a_bench.assessor()(job_id, 1, 0)
    assert a_bench.state(job_id) == "delivering"


def _proven(_: str, parcels: tuple[Parcel, ...]) -> list[Receipt]:
    return [Receipt(parcel.sop_instance_uid, "proven") for parcel in parcels]


def _failed(_: str, parcels: tuple[Parcel, ...]) -> list[Receipt]:
    return [Receipt(parcel.sop_instance_uid, "failed", "frozen too long") for parcel in parcels]


def _deliver_while_frozen(
    bench: Bench, job_id: int, outcome: Any, meanwhile: list[tuple[Deliverer, int]]
) -> None:
    """Open attempt 0 and freeze; the others deliver; then wake up with an outcome."""
    frozen, woken = Event(), Event()

    def late(destination: str, parcels: tuple[Parcel, ...]) -> list[Receipt]:
        frozen.set()
        assert woken.wait(20)
        return list(outcome(destination, parcels))

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(bench.deliverer(deliver=late), job_id, 0, "pacs", 0)
        assert frozen.wait(20)
        for deliverer, attempt in meanwhile:
            deliverer(job_id, 0, "pacs", attempt)
        woken.set()
    assert run.exception() is None


def test_a_proven_delivery_stays_proven_when_a_frozen_sender_fails(a_bench: Bench) -> None:
    job_id = a_bench.a_queued_job("1.4.4")
    a_bench.assessor()(job_id, 0, 0)
    _deliver_while_frozen(a_bench, job_id, _failed, [(a_bench.deliverer(deliver=_proven), 0)])
    assert a_bench.deliveries(job_id) == {"pacs": "proven", "archive": "pending"}
    assert not any(task.key == f"deliver:{job_id}:0:pacs:1" for task in a_bench.notebook.tasks)
    a_bench.deliverer(deliver=_proven)(job_id, 0, "archive", 0)
    assert a_bench.state(job_id) == "done"


def test_a_frozen_sender_s_failure_counts_for_nothing_once_overtaken(a_bench: Bench) -> None:
    job_id = a_bench.a_queued_job("1.4.5")
    a_bench.assessor()(job_id, 0, 0)
    fails = a_bench.deliverer(deliver=_failed)
    patience_ended = {"retry_after": lambda attempt, receipts: None if attempt == 0 else 1.0}
    _deliver_while_frozen(a_bench, job_id, _failed, [(fails, 0), (fails, 1)])
    with a_bench.database.connect() as connection:
        failures = connection.scalars(
            select(LedgerDelivery.event).where(LedgerDelivery.study_instance_uid == "1.4.5")
        ).all()
    assert failures == ["failed", "failed"]
    # An attempt that begins after a later one was made does nothing at all.
    a_bench.deliverer(deliver=_failed, **patience_ended)(job_id, 0, "pacs", 0)
    assert a_bench.deliveries(job_id)["pacs"] == "pending"


def test_a_frozen_sender_s_proof_is_taken(a_bench: Bench) -> None:
    job_id = a_bench.a_queued_job("1.4.6")
    a_bench.assessor()(job_id, 0, 0)
    fails = a_bench.deliverer(deliver=_failed)
    _deliver_while_frozen(a_bench, job_id, _proven, [(fails, 0), (fails, 1)])
    assert a_bench.deliveries(job_id)["pacs"] == "proven"


def test_a_job_that_has_changed_since_it_was_read_is_not_overwritten(a_bench: Bench) -> None:
    job_id = a_bench.a_queued_job("1.4.7")
    with a_bench.database.connect() as connection:
        stale = states.find(connection, job_id)
    Desk(a_bench.database, Trail("admin"), a_bench.notebook).cancel(job_id)
    with (
        pytest.raises(JobError, match="changed meanwhile"),
        a_bench.database.begin() as connection,
    ):
        states.change(connection, Trail("work"), stale, "running")
    assert a_bench.state(job_id) == "dead"
