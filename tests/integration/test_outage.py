"""A destination that is down: its deliveries stand in line, one probes, and all arrive, once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, func, select, update

from node.audit.tables import CircuitRow, InLine, LedgerDelivery, LedgerSystem
from node.audit.trail import Trail
from node.database import lock, utc_now
from node.jobs.circuit import Pace
from node.jobs.outage_watch import OutageWatch
from node.jobs.stages import Parcel, Receipt
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Node, a_database, a_node
from tests.waiting import wait_for

JOBS = 12
BRISK = Pace(failures_to_open=2, first_probe_s=0.4, longest_probe_s=0.8, widest=3)


@pytest.fixture(scope="module", params=DATABASES)
def the_node_of_this_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp(request.param)
    with (
        a_database(request.param, folder) as url,
        a_node(url, folder, "sender", "pacs", pace=BRISK, tries=1000) as node,
    ):
        yield node


@pytest.fixture
def a_node_before_a_pacs(the_node_of_this_file: Node) -> Node:
    the_node_of_this_file.anew()
    with the_node_of_this_file.database.begin() as connection:
        connection.execute(delete(InLine))
        connection.execute(delete(CircuitRow))
    return the_node_of_this_file


def down(parcel: Parcel, _: int) -> Receipt:
    return Receipt(parcel.sop_instance_uid, "failed", "no connection", down=True)


def up(parcel: Parcel, _: int) -> Receipt:
    return Receipt(parcel.sop_instance_uid, "proven")


def receive(node: Node, jobs: int, first: int = 0) -> None:
    for number in range(first, first + jobs):
        image = an_image(f"1.2.3.{number}.1")
        node.receive(image, a_seg(a_segment(1, image.sop_instance_uid), uid=f"1.2.3.{number}.2"))


def in_line(node: Node) -> int:
    with node.database.connect() as connection:
        return connection.scalar(select(func.count()).select_from(InLine)) or 0


def comes_to_stand_in_line(node: Node, jobs: int) -> None:
    wait_for(lambda: in_line(node) >= jobs, lambda: f"{in_line(node)} of {jobs} stand in line")


def events(node: Node) -> list[str]:
    with node.database.connect() as connection:
        return list(
            connection.scalars(
                select(LedgerSystem.event)
                .where(LedgerSystem.subject == "pacs")
                .order_by(LedgerSystem.id.desc())
                .limit(2)
            )
        )


def test_while_a_pacs_is_down_one_probe_goes_and_nothing_is_written_for_the_others(
    a_node_before_a_pacs: Node,
) -> None:
    node = a_node_before_a_pacs
    node.rooms.receipts = down
    receive(node, JOBS)
    comes_to_stand_in_line(node, JOBS)
    before, rows = len(node.rooms.deliveries), _written(node)
    time.sleep(1.5)  # two to four probes
    probes = len(node.rooms.deliveries) - before
    assert 1 <= probes <= 8
    assert _written(node) - rows <= probes + 1
    node.rooms.receipts = up
    node.settles("done", JOBS)
    attempts = Counter(parcels[0].sop_instance_uid for _, parcels in node.rooms.deliveries)
    assert len(attempts) == JOBS
    assert sum(attempts.values()) <= JOBS + before + probes + 2
    assert in_line(node) == 0
    assert events(node) == ["destination-up", "destination-down"]


def _written(node: Node) -> int:
    with node.database.connect() as connection:
        return connection.scalar(select(func.count()).select_from(LedgerDelivery)) or 0


def test_what_comes_while_it_is_down_waits_behind_and_a_cancelled_job_holds_nobody_up(
    a_node_before_a_pacs: Node,
) -> None:
    node = a_node_before_a_pacs
    node.rooms.receipts = down
    receive(node, 4)
    comes_to_stand_in_line(node, 4)
    receive(node, 2, first=4)
    comes_to_stand_in_line(node, 6)
    oldest = min(job["id"] for job in node.jobs())
    node.desk.cancel(oldest)
    node.rooms.receipts = up
    wait_for(lambda: not in_line(node))
    assert Counter(job["state"] for job in node.jobs()) == {"done": 5, "dead": 1}
    assert in_line(node) == 0


def test_a_line_whose_probe_was_lost_is_set_going_again(a_node_before_a_pacs: Node) -> None:
    node = a_node_before_a_pacs
    node.rooms.receipts = down
    receive(node, 3)
    comes_to_stand_in_line(node, 3)
    with node.database.begin() as connection:  # as after a task that was given up
        connection.execute(update(InLine).values(ticket=0))
        connection.execute(update(CircuitRow).values(round=CircuitRow.round + 100))
    node.rooms.receipts = up
    time.sleep(1.5)
    assert in_line(node) == 3, "nobody is on the way"
    OutageWatch(node.database, Trail("test"), node.engine, BRISK).look()
    node.settles("done", 3)


def test_whoever_has_stood_in_line_for_days_is_given_up_where_a_person_sees_it(
    a_node_before_a_pacs: Node,
) -> None:
    node = a_node_before_a_pacs
    node.rooms.receipts = down
    receive(node, 3)
    comes_to_stand_in_line(node, 3)
    with node.database.begin() as connection:
        lock(connection, "line of pacs")  # who comes back at this moment leaves and joins anew
        connection.execute(update(InLine).values(since=utc_now() - timedelta(days=4)))
    watch = OutageWatch(node.database, Trail("test"), node.engine, BRISK)
    given_up: list[int] = []

    def looks() -> bool:
        given_up.append(watch.look())
        return in_line(node) == 0

    wait_for(looks)
    dead = node.settles("dead", 3)
    assert sum(given_up) == 3
    assert {job["reason"] for job in dead} == {"a destination was not reached"}
    assert events(node)[0] == "destination-down", "nobody knows that it is up"
    node.rooms.receipts = up
    for job in dead:
        node.desk.retry(job["id"])
    comes_to_stand_in_line(node, 3)
    watch.look()
    node.settles("done", 3)
    assert events(node) == ["destination-up", "destination-down"]


def test_who_goes_to_see_has_waited_since_it_first_came(a_node_before_a_pacs: Node) -> None:
    node = a_node_before_a_pacs
    node.rooms.receipts = down
    receive(node, 1)
    comes_to_stand_in_line(node, 1)
    since = _since(node)
    tried = len(node.rooms.deliveries)
    wait_for(lambda: len(node.rooms.deliveries) >= tried + 2)
    assert _since(node) == since
    node.rooms.receipts = up
    node.settles("done")


def _since(node: Node) -> datetime | None:
    with node.database.connect() as connection:
        (job,) = node.jobs()
        return connection.scalar(select(InLine.since).where(InLine.job_id == job["id"]))
