"""A busy sender, a quiet one and an urgent study on one worker: who is served when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from node.audit.tables import Instance
from node.jobs.admin import list_jobs
from node.jobs.arriving import arrivals
from node.jobs.stages import Assessment, AssessmentRequest
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Node, Rooms, a_database, a_node, keep
from tests.waiting import wait_for


@pytest.fixture(scope="module", params=DATABASES)
def a_running_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("fair")
    with a_database(request.param, folder) as url, a_node(url, folder, "fair", "pacs") as node:
        yield node


class Held(Rooms):
    """Rooms that assess nothing until they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.open = False

    def assess(self, request: AssessmentRequest) -> Assessment:
        while not self.open:
            time.sleep(0.01)
        return super().assess(request)


def send(node: Node, sender: str, name: str, priority: str = "") -> None:
    """Acknowledge one study of a sender."""
    study = f"{node.study}.{name}"
    fields = {"study_instance_uid": study, "series_instance_uid": f"{study}.1"}
    image = replace(an_image(f"{study}.2", **fields), requested_priority=priority)
    seg = a_seg(a_segment(1, image.sop_instance_uid), uid=f"{study}.3", **fields)
    with node.database.begin() as connection:
        for header in (image, seg):
            number = keep(connection, header)
            source = update(Instance).where(Instance.id == number).values(source=f"{sender}@h")
            connection.execute(source)
            node.engine.enqueue(connection, arrivals([number]))


def queued(node: Node, number: int) -> None:
    def found() -> object:
        with node.database.connect() as connection:
            return connection.exec_driver_sql(
                f"SELECT count(*) FROM job WHERE seg_uid LIKE '{node.study}.%%' "
                "AND state IN ('queued', 'running')"
            ).scalar_one()

    wait_for(lambda: found() == number, lambda: f"{found()} of {number} jobs are queued")


def test_a_quiet_sender_and_an_urgent_study_do_not_wait_for_a_busy_one(
    a_running_node: Node,
) -> None:
    node = a_running_node
    node.anew()
    node.rooms = Held()
    for number in range(10):
        send(node, "BUSY", f"1{number}")
    queued(node, 10)
    send(node, "QUIET", "20")
    send(node, "QUIET", "21")
    send(node, "BUSY", "30", "STAT")
    queued(node, 13)
    under_way = claimed(node)  # before the others came
    node.rooms.open = True
    wait_for(lambda: len(node.rooms.requests) >= 13)
    order = [request.seg_uid.split(".")[-2] for request in node.rooms.requests]
    assert len(order) == 13
    rest = [name for name in order if name not in under_way]
    assert len(rest) >= 11, "a worker claims one at a time, or two if it is slow to begin"
    assert "30" in {*under_way, rest[0]}
    first, second = sorted(order.index(name) for name in ("20", "21"))  # they are paired at once
    assert first <= len(under_way) + 2
    assert second <= len(under_way) + 4


def claimed(node: Node) -> set[str]:
    """The names of the studies with whose assessment the worker has begun."""
    jobs = {
        int(task.key.split(":")[1]) for task in node.engine.begun() if task.queue == "inference"
    }
    found = list_jobs(node.database, limit=1000)
    return {job["seg"].split(".")[-2] for job in found if job["id"] in jobs}
