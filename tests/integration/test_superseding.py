"""A later report makes the earlier one old, and no archive is ever without one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.jobs.admin import show_job
from node.jobs.stages import Parcel, Receipt, Wish
from node.jobs.withdrawing import list_reports
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import Node, a_database, a_node
from tests.waiting import wait_for

GREY = "1.2.3.1"
WISHES = (
    Wish("keeps", reject_superseded=True),
    Wish("quiet"),
    Wish("picky", refusals=False, reject_superseded=True),
)


@pytest.fixture(scope="module")
def the_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("superseding")
    with a_database("sqlite", folder) as url, a_node(url, folder, "one", *WISHES) as node:
        yield node


@pytest.fixture
def a_running_node(the_node: Node) -> Node:
    the_node.anew()
    return the_node


def a_first_report(node: Node) -> None:
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY, tracking_uid="1.9")))
    node.settles("done")


def a_second_report(node: Node) -> None:
    node.receive(a_seg(a_segment(1, GREY, tracking_uid="1.9"), uid="1.2.3.10"))


def sent(node: Node, destination: str) -> list[bytes]:
    """What one destination was sent, in order: "SR" or the text of a note."""
    return [
        Path(parcel.path).read_bytes()
        for name, parcels in node.rooms.deliveries
        for parcel in parcels
        if name == destination
    ]


def test_a_superseded_report_is_rejected_after_the_new_one_is_proven(a_running_node: Node) -> None:
    a_first_report(a_running_node)
    a_second_report(a_running_node)
    a_running_node.settles("done", jobs=2)
    old = min(list_reports(a_running_node.database), key=lambda one: one["id"])["sr"]
    assert sent(a_running_node, "keeps") == [b"SR", b"SR", f"superseded {old}".encode()]
    assert sent(a_running_node, "quiet") == [b"SR", b"SR"]


def test_the_list_says_which_report_is_current(a_running_node: Node) -> None:
    a_first_report(a_running_node)
    a_second_report(a_running_node)
    jobs = {job["id"] for job in a_running_node.settles("done", jobs=2)}
    mine = [one for one in list_reports(a_running_node.database) if one["job"] in jobs]
    assert [one["state"] for one in mine] == ["current", "superseded"]


def test_a_report_is_not_rejected_where_the_new_one_did_not_arrive(a_running_node: Node) -> None:
    a_first_report(a_running_node)

    def receipts(parcel: Parcel, _: int) -> Receipt:
        return Receipt(parcel.sop_instance_uid, "failed", "connection refused")

    a_running_node.rooms.receipts = receipts
    a_second_report(a_running_node)

    def latest() -> dict[str, Any]:
        return max(a_running_node.jobs(), key=lambda job: job["id"])

    wait_for(lambda: latest()["state"] == "dead")
    late = latest()
    shown = show_job(a_running_node.database, late["id"])
    assert shown["state"] == "dead"
    assert not any(one.startswith(b"superseded") for one in sent(a_running_node, "keeps"))
    errors = {one["last_error"] for one in shown["deliveries"]}
    assert errors == {"connection refused", "the report that supersedes did not arrive"}

    a_running_node.rooms.receipts = lambda parcel, _: Receipt(parcel.sop_instance_uid, "proven")
    a_running_node.desk.retry(late["id"])
    a_running_node.settles("done", jobs=2)
    assert sent(a_running_node, "keeps")[-1].startswith(b"superseded")


def test_a_destination_that_wants_no_refusals_keeps_the_report_it_has(
    a_running_node: Node,
) -> None:
    a_first_report(a_running_node)
    a_running_node.rooms.refuse = True
    a_second_report(a_running_node)
    wait_for(lambda: {job["state"] for job in a_running_node.jobs()} == {"done", "refused"})
    assert sent(a_running_node, "picky") == [b"SR"]
    assert len(sent(a_running_node, "quiet")) == 2


def test_a_destination_takes_only_the_kinds_that_it_wants() -> None:
    wish = Wish("pacs", frozenset({"sc", "gsps"}))
    kinds = ("sr", "sc-1", "sc-2", "pdf-1", "gsps-1", "ko-1")
    assert [kind for kind in kinds if wish.takes(kind)] == ["sr", "sc-1", "sc-2", "gsps-1"]
