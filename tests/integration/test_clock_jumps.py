"""The wall clock is set while tasks wait and executors beat: nothing is stuck, nobody is buried."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from node.audit.tables import Lease
from node.database import server_now
from node.jobs.arriving import arrivals
from node.jobs.clock import ClockWatch
from node.jobs.dbos_engine import DbosEnqueuer
from node.jobs.recovery import Sweeper
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Node, a_database, a_node, keep
from tests.waiting import PATIENCE_S

HOUR_S = 3600.0


@pytest.fixture(scope="module", params=DATABASES)
def a_running_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp(request.param)
    with a_database(request.param, folder) as url, a_node(url, folder, "one", "pacs") as node:
        yield node


class SetClock:
    """A wall clock that a test sets; the steady one goes on."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def watch(self) -> ClockWatch:
        return ClockWatch(lambda: time.time() + self.set_by, time.monotonic)


def test_tasks_that_a_clock_set_back_has_made_late_run_within_seconds(
    a_running_node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.jobs.recovery._WAKE_S", 0.5)
    node = a_running_node
    node.anew()
    image, seg = an_image("1.2.3.1"), a_seg(a_segment(1, "1.2.3.1"))
    clock = SetClock()
    enqueuer = DbosEnqueuer(node.database)
    sweeper = Sweeper(node.database, enqueuer, "one", "work", 30, clock.watch())
    try:
        sweeper.sweep()
        with node.database.begin() as connection:  # due in an hour: the hour by which it was set
            for header in (image, seg):
                task = arrivals([keep(connection, node._moved(header))])
                late = type(task)(task.queue, task.key, task.arguments, HOUR_S)
                enqueuer.enqueue(connection, late)
        sweeper.sweep()
        time.sleep(1.0)
        assert node.jobs() == [], "without a jump a task keeps its time"
        clock.set_by = -HOUR_S
        sweeper.sweep()
        node.settles("done")
    finally:
        enqueuer.close()


def test_a_beat_from_the_future_neither_hides_the_dead_nor_buries_the_living(
    a_running_node: Node,
) -> None:
    database = a_running_node.database
    enqueuer = DbosEnqueuer(database)
    sweeper = Sweeper(database, enqueuer, "seer", "work", 1.0)
    try:
        with database.begin() as connection:
            ahead = server_now(connection) + timedelta(hours=1)
            for name in ("died-before-the-jump", "alive"):
                values = {"executor_id": name, "role": "work", "beat_at": ahead}
                connection.execute(insert(Lease).values(**values))
        sweeper.sweep()
        assert {"died-before-the-jump", "alive"} <= _leases(a_running_node)
        deadline = time.monotonic() + PATIENCE_S
        while "died-before-the-jump" in _leases(a_running_node):
            assert time.monotonic() < deadline, "the dead one is never found"
            time.sleep(0.3)
            with database.begin() as connection:
                connection.execute(
                    update(Lease)
                    .where(Lease.executor_id == "alive")
                    .values(beat_at=server_now(connection))
                )
            sweeper.sweep()
        assert "alive" in _leases(a_running_node)
    finally:
        enqueuer.close()


def _leases(node: Node) -> set[str]:
    with node.database.connect() as connection:
        return set(connection.scalars(select(Lease.executor_id)))
