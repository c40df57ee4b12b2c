"""Several processes on one database: limits over all of them, versions side by side, names."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, column, func, select, table

from node.config import Settings
from node.database import open_engine, utc_now
from node.jobs.dbos_engine import DbosEngine, DbosEnqueuer, unfinished_by_version
from node.jobs.engine import Lane, Task
from node.service.executors import executor_name, holding, lanes
from tests.jobs_fixtures import DATABASES, a_database
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=DATABASES)
def an_address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with a_database(request.param, tmp_path_factory.mktemp("scale")) as url:
        yield url


@pytest.fixture
def a_shared_database(an_address: str) -> Iterator[Engine]:
    database = open_engine(an_address)
    yield database
    database.dispose()


class Counter:
    """A handler that takes its time and knows how many of each lane ran at once."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.begun: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, lane: str, number: int) -> None:
        del number
        with self._lock:
            self.begun.append(lane)
            self.running[lane] = self.running.get(lane, 0) + 1
            self.most[lane] = max(self.most.get(lane, 0), self.running[lane])
        time.sleep(0.15)
        with self._lock:
            self.running[lane] -= 1


def put(engine: DbosEnqueuer, database: Engine, lane: str, number: int) -> None:
    with database.begin() as connection:
        for one in range(number):
            key = f"{lane}:{one}:{time.monotonic_ns()}"
            engine.enqueue(connection, Task("delivery", key, (lane, one), lane=lane))


def test_a_destination_gets_no_more_at_once_and_a_minute_than_it_bears(
    a_shared_database: Engine,
) -> None:
    bounds = (Lane("delivery", "slow", concurrent=1), Lane("delivery", "few", per_minute=2))
    handler = Counter()
    engine = DbosEngine(a_shared_database, "limits", bounds)
    engine.start({"delivery": handler}, {"delivery": 4})
    try:
        put(engine, a_shared_database, "few", 5)
        put(engine, a_shared_database, "slow", 4)
        put(engine, a_shared_database, "free", 8)
        wait_for(lambda: handler.begun.count("slow") == 4 and handler.begun.count("free") == 8)
        assert handler.most["slow"] == 1
        assert handler.most["free"] > 1
        assert handler.begun.count("few") == 2
    finally:
        engine.stop(5)


def test_tasks_of_a_destination_that_lost_its_limits_are_not_forgotten(
    a_shared_database: Engine,
) -> None:
    before = DbosEngine(a_shared_database, "before", (Lane("delivery", "old", concurrent=1),))
    before.start({"delivery": Counter()}, {"delivery": 1})
    before.stop(5)
    lane = (Lane("delivery", "old", concurrent=1),)
    enqueuer = DbosEnqueuer(a_shared_database, lane)
    put(enqueuer, a_shared_database, "old", 2)
    enqueuer.close()
    handler = Counter()
    after = DbosEngine(a_shared_database, "after")
    after.start({"delivery": handler}, {"delivery": 2})
    try:
        wait_for(lambda: handler.begun.count("old") == 2)
    finally:
        after.stop(5)


@contextmanager
def a_version(url: str, version: str, diary: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.version_worker", url, f"v{version}", version, str(diary)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.wait()


def test_two_versions_side_by_side_run_their_own_tasks_and_lose_none(
    an_address: str, a_shared_database: Engine, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    diary.touch()
    old, new = DbosEnqueuer(a_shared_database), DbosEnqueuer(a_shared_database)
    old.version, new.version = "old", "new"

    def enqueue(enqueuer: DbosEnqueuer, name: str) -> None:
        with a_shared_database.begin() as connection:
            enqueuer.enqueue(connection, Task("delivery", name, (name,)))

    def lines() -> list[str]:
        return sorted(diary.read_text().splitlines())

    with a_version(an_address, "old", diary):
        enqueue(old, "first")
        enqueue(new, "early")  # the new receiver is up before any new worker is
        wait_for(lambda: "old first" in lines())
        assert unfinished_by_version(a_shared_database).get("new") == 1
        with a_version(an_address, "new", diary):
            wait_for(lambda: "new early" in lines())
            enqueue(old, "last")
            enqueue(new, "later")
            wait_for(lambda: len(lines()) == 4)
    assert lines() == ["new early", "new later", "old first", "old last"]
    old.close()
    new.close()


def test_finished_tasks_are_forgotten_and_waiting_ones_are_not(a_shared_database: Engine) -> None:
    handler = Counter()
    engine = DbosEngine(a_shared_database, "forgetful")
    engine.start({"delivery": handler}, {"delivery": 4})
    try:
        put(engine, a_shared_database, "done", 3)
        wait_for(lambda: handler.begun.count("done") == 3)
        time.sleep(0.5)
        with a_shared_database.begin() as connection:
            waiting = Task("delivery", "waits", ("waits", 1), delay_s=600)
            engine.enqueue(connection, waiting)
        assert engine.forget_finished(utc_now() - timedelta(hours=1)) == 0
        assert engine.forget_finished(utc_now() + timedelta(hours=1)) >= 3
        assert engine.forget_finished(utc_now() + timedelta(hours=1)) == 0
        assert unfinished_by_version(a_shared_database)
        schema = "dbos" if a_shared_database.dialect.name == "postgresql" else None
        with a_shared_database.connect() as connection:
            outputs = table("operation_outputs", column("workflow_uuid"), schema=schema)
            left = select(func.count()).where(outputs.c.workflow_uuid.like("done:%"))
            assert connection.scalar(left) == 0
    finally:
        engine.stop(5)


def test_a_name_is_held_by_one_process_and_kept_over_restarts(a_shared_database: Engine) -> None:
    with holding(a_shared_database, "work-gpu1") as first:
        assert first == "work-gpu1"
        with holding(a_shared_database, "work-gpu1") as second:
            assert second.startswith("work-gpu1-")
    with holding(a_shared_database, "work-gpu1") as again:
        assert again == "work-gpu1"


def test_an_executor_is_named_by_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    named = Settings(node={"name": "gpu1"})
    assert executor_name(named, "work") == "work-gpu1"
    monkeypatch.setenv("CRDL_SUPERVISED", "2")
    assert executor_name(named, "work") == "work-gpu1-2"
    assert executor_name(Settings(), "work") == "work-2"


def test_only_destinations_with_limits_have_lanes() -> None:
    archive = {"ae_title": "A", "host": "h", "port": 1}
    settings = Settings(
        destination=({"name": "a", **archive}, {"name": "b", **archive, "max_concurrent": 3})
    )
    assert lanes(settings) == (Lane("delivery", "b", concurrent=3),)
