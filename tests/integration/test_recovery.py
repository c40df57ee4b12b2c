"""Recovery: executors are killed and frozen, and every job still ends, once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, func, insert, make_url, select

from node.audit.tables import Delivery, FindingRow, Lease, Report
from node.database import open_engine, server_now
from node.jobs.admin import list_jobs
from node.jobs.arriving import arrivals
from node.jobs.dbos_engine import DbosEnqueuer
from node.jobs.engine import BegunTask
from node.jobs.recovery import Sweeper, judge, start_sweeper
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, a_database, keep

JOBS = 40
TTL_S = 2.0
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=DATABASES)
def an_address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with a_database(request.param, tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture
def a_data_base(an_address: str) -> Iterator[Engine]:
    database = open_engine(an_address)
    yield database
    database.dispose()


@dataclass
class Workers:
    """Executors as processes of their own, each stopped by its own id."""

    url: str
    folder: Path
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, *executor_ids: str) -> None:
        for executor_id in executor_ids:
            self._start(executor_id)
        for executor_id in executor_ids:
            output = self.running[executor_id].stdout
            assert output is not None
            assert output.readline() == "ready\n"

    def _start(self, executor_id: str) -> None:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.recovery_worker"),
                *(self.url, str(self.folder), executor_id, str(TTL_S)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running[executor_id] = process

    def send(self, executor_id: str, number: signal.Signals) -> None:
        self.running[executor_id].send_signal(number)

    def freeze(self, executor_id: str) -> None:
        """Stop a process, on SQLite outside a write: inside one it would stop everybody.

        That is SQLite's nature (one lock for all writers), not ours to recover from. A process
        runs on for some milliseconds after it was told to stop: only one that has stopped holds
        what it will hold.
        """
        for _ in range(100):
            self.send(executor_id, signal.SIGSTOP)
            os.waitid(os.P_PID, self.running[executor_id].pid, os.WSTOPPED)
            if _can_be_written(self.url):
                return
            self.send(executor_id, signal.SIGCONT)
            time.sleep(0.02)
        pytest.fail("the executor writes all the time")

    def diary(self) -> list[list[str]]:
        path = self.folder / "diary"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def _can_be_written(url: str) -> bool:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return True
    with closing(sqlite3.connect(str(parsed.database), timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.rollback()
        return True


@contextmanager
def workers(url: str, folder: Path) -> Iterator[Workers]:
    found = Workers(url, folder)
    try:
        yield found
    finally:
        for process in found.running.values():
            process.kill()
            process.wait()


def _receive(database: Engine, number: int) -> None:
    enqueuer = DbosEnqueuer(database)
    for study in range(number):
        fields = {"study_instance_uid": f"1.7.{study}", "series_instance_uid": f"1.7.{study}.1"}
        image = an_image(f"1.7.{study}.2", **fields)
        seg = a_seg(a_segment(1, image.sop_instance_uid), uid=f"1.7.{study}.3", **fields)
        with database.begin() as connection:
            for header in (image, seg):
                enqueuer.enqueue(connection, arrivals([keep(connection, header)]))
    enqueuer.close()


def _wait(database: Engine, seconds: float, *, done: int) -> Counter[str]:
    end = time.monotonic() + seconds
    while True:
        found = Counter(job["state"] for job in list_jobs(database, limit=1000))
        if found["done"] >= done:
            return found
        assert time.monotonic() < end, f"wanted {done} done, found {found}"
        time.sleep(0.1)


def test_no_job_is_lost_or_doubled_when_executors_are_killed_and_frozen(
    an_address: str, a_data_base: Engine, tmp_path: Path
) -> None:
    _receive(a_data_base, JOBS)
    with workers(an_address, tmp_path) as executors:
        executors.start("frozen", "killed")
        _wait(a_data_base, 20, done=4)
        executors.freeze("frozen")
        executors.send("killed", signal.SIGKILL)
        begun = {task.executor_id for task in _begun(a_data_base)}
        assert begun & {"frozen", "killed"}, "nothing was under way: the test proves nothing"
        executors.start("replacement")
        _wait(a_data_base, 60, done=JOBS)
        executors.send("frozen", signal.SIGCONT)
        time.sleep(3 * TTL_S / 2)  # the woken executor ends its task and beats again
        assert Counter(job["state"] for job in list_jobs(a_data_base, limit=1000)) == {"done": JOBS}
        assert _begun(a_data_base) == []
        diary = executors.diary()
        frozen = str(executors.running["frozen"].pid)
    with a_data_base.connect() as connection:
        for table in (FindingRow, Report, Delivery):
            assert connection.scalar(select(func.count()).select_from(table)) == JOBS
        proven = select(func.count()).where(Delivery.state == "proven")
        assert connection.scalar(proven) == JOBS
        assert "killed" not in set(connection.scalars(select(Lease.executor_id)))
    begins = Counter(uid for _, word, uid in diary if word == "begin")
    assert set(begins) == {f"1.7.{study}.3" for study in range(JOBS)}
    assert sum(begins.values()) - JOBS <= 4, "more was begun again than was under way"
    # The frozen executor did wake up, in the middle of a task that its successor had done.
    ends = Counter(uid for pid, word, uid in diary if word == "end" and pid == frozen)
    begun_by_frozen = [uid for pid, word, uid in diary if word == "begin" and pid == frozen]
    assert begun_by_frozen
    assert set(ends) == set(begun_by_frozen)


@pytest.fixture
def an_enqueuer(a_data_base: Engine) -> Iterator[DbosEnqueuer]:
    enqueuer = DbosEnqueuer(a_data_base)
    yield enqueuer
    enqueuer.close()


def _lease(database: Engine, executor_id: str, age_s: float) -> None:
    with database.begin() as connection:
        connection.execute(delete(Lease).where(Lease.executor_id == executor_id))
        beat_at = server_now(connection) - timedelta(seconds=age_s)
        connection.execute(
            insert(Lease).values(executor_id=executor_id, role="work", beat_at=beat_at)
        )


def _leases(database: Engine) -> set[str]:
    with database.connect() as connection:
        return set(connection.scalars(select(Lease.executor_id)))


def test_the_lease_of_a_dead_executor_without_tasks_is_removed(
    a_data_base: Engine, an_enqueuer: DbosEnqueuer
) -> None:
    _lease(a_data_base, "dead-idle", 60)
    _lease(a_data_base, "alive-idle", 1)
    Sweeper(a_data_base, an_enqueuer, "survivor", "work", 30).sweep()
    assert _leases(a_data_base) >= {"survivor", "alive-idle"}
    assert "dead-idle" not in _leases(a_data_base)


def test_of_two_sweepers_one_gets_a_dead_lease(
    a_data_base: Engine, an_enqueuer: DbosEnqueuer
) -> None:
    _lease(a_data_base, "dead-contested", 60)
    sweepers = [Sweeper(a_data_base, an_enqueuer, f"rival-{n}", "work", 30) for n in range(4)]
    with ThreadPoolExecutor(len(sweepers)) as pool:
        claims = list(pool.map(lambda sweeper: sweeper._beat_and_claim()[1], sweepers))
    assert sum("dead-contested" in claim for claim in claims) == 1


def test_an_executor_that_was_away_itself_declares_nobody_dead(
    a_data_base: Engine, an_enqueuer: DbosEnqueuer
) -> None:
    sleeper = Sweeper(a_data_base, an_enqueuer, "sleeper", "work", 1.0)
    sleeper.sweep()
    _lease(a_data_base, "slept-too", 0)
    time.sleep(1.2)
    sleeper.sweep()
    assert "slept-too" in _leases(a_data_base)
    sleeper.sweep()
    assert "slept-too" not in _leases(a_data_base)


def test_an_executor_that_stops_leaves_its_lease_to_be_taken_at_once(
    a_data_base: Engine, an_enqueuer: DbosEnqueuer
) -> None:
    start_sweeper(a_data_base, "leaver", "deliver", 30)()
    assert "leaver" in _leases(a_data_base)
    Sweeper(a_data_base, an_enqueuer, "heir", "deliver", 30).sweep()
    assert "leaver" not in _leases(a_data_base)


def test_only_tasks_of_the_dead_are_resumed_and_strangers_are_given_a_lease() -> None:
    tasks = [BegunTask(f"assess:{name}", "inference", name) for name in ("dead", "alive", "new")]
    verdict = judge(tasks, frozenset({"dead"}), frozenset({"dead", "alive"}))
    assert [task.executor_id for task in verdict.resume] == ["dead"]
    assert verdict.strangers == {"new"}


def _begun(database: Engine) -> list[BegunTask]:
    enqueuer = DbosEnqueuer(database)
    try:
        return enqueuer.begun()
    finally:
        enqueuer.close()
