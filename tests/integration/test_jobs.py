"""Jobs on the real engine and both databases: what is acknowledged gets an outcome, once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from node.audit.tables import Delivery, FindingRow, LedgerJob, Report
from node.case import FrameReference
from node.errors import JobError, PairingError
from node.jobs import states
from node.jobs.admin import show_job
from node.jobs.stages import Parcel, Receipt
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Node, a_database, a_node

GREY = "1.2.3.1"


@pytest.fixture(scope="module", params=DATABASES)
def the_node_of_this_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp(request.param)
    with (
        a_database(request.param, folder) as url,
        a_node(url, folder, "work-1", "pacs", "archive") as node,
    ):
        yield node


@pytest.fixture
def a_running_node(the_node_of_this_file: Node) -> Node:
    the_node_of_this_file.anew()
    return the_node_of_this_file


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
    assert show_job(a_running_node.database, job["id"])["missing"] == [a_running_node.uid(GREY)]


def test_an_assessment_that_fails_is_tried_again(a_running_node: Node) -> None:
    a_running_node.rooms.breaks = 1
    a_running_node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    a_running_node.settles("done")
    assert len(a_running_node.rooms.requests) == 2


def test_a_refused_case_ends_refused_after_its_report_is_delivered(a_running_node: Node) -> None:
    a_running_node.rooms.refuse = True
    a_running_node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = a_running_node.settles("refused")
    assert len(show_job(a_running_node.database, job["id"])["deliveries"]) == 2


def test_what_is_proven_is_never_sent_again(a_running_node: Node) -> None:
    def receipts(parcel: Parcel, attempt: int) -> Receipt:
        return Receipt(parcel.sop_instance_uid, "proven" if attempt > 2 else "sent")

    a_running_node.rooms.receipts = receipts
    a_running_node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
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
    a_running_node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
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
    with pytest.raises(JobError, match="no job 1000000000"):
        a_running_node.desk.cancel(10**9)


def test_a_held_case_waits_until_a_person_assigns_the_image(a_running_node: Node) -> None:
    uid = a_running_node.uid
    a_running_node.receive(an_image(GREY), an_image("1.2.3.4"))
    time.sleep(0.3)
    a_running_node.receive(a_seg(a_segment()))
    a_running_node.settles("held")
    a_running_node.desk.assign(uid("1.2.3.9"), FrameReference(uid("1.2.3.4")))
    a_running_node.settles("done")
    assert a_running_node.rooms.requests[0].cases[0].sources == (FrameReference(uid("1.2.3.4")),)
    with pytest.raises(PairingError, match="done"):
        a_running_node.desk.assign(uid("1.2.3.9"), FrameReference(GREY))
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
        (a_running_node.uid("1.2.3.10"), 1),
        (a_running_node.uid("1.2.3.9"), 1),
        (a_running_node.uid("1.2.3.9"), 2),
    ]
    first, second = a_running_node.rooms.requests
    assert first.predecessor is None
    assert second.predecessor is not None
    assert second.cases[0].doppler[0][0] == a_running_node.uid("1.2.3.10")
    reports = [show_job(a_running_node.database, job["id"])["reports"] for job in jobs]
    assert sorted(map(len, reports)) == [0, 1, 1]


def test_every_change_of_a_job_has_its_ledger_row(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = a_running_node.settles("done")
    subject = states.subject(job["seg"], job["generation"])
    with a_running_node.database.connect() as connection:
        events = connection.scalars(
            select(LedgerJob.event).where(LedgerJob.subject == subject).order_by(LedgerJob.id)
        ).all()
        assert events == ["created", "queued", "running", "delivering", "done"]
        for table, rows in ((FindingRow, 1), (Report, 1), (Delivery, 2)):
            query = select(func.count()).select_from(table).where(table.job_id == job["id"])
            assert connection.scalar(query) == rows


def test_a_state_only_follows_where_it_may() -> None:
    assert states.may_follow("queued", "running")
    assert not states.may_follow("done", "queued")
    assert not states.may_follow("waiting", "delivering")
