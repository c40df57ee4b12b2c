"""What has done its service expires; what anybody still needs never does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from pydicom import Dataset
from sqlalchemy import select, text, update

from node.audit import schema
from node.audit.tables import Delivery, Instance, Job, JobInstance, LedgerInstance, LedgerSystem
from node.audit.tables import Report as ReportRow
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.case import Case, FrameReference
from node.database import open_engine, utc_now
from node.errors import JobError
from node.jobs import states
from node.jobs.retention import Keeper, Terms
from node.jobs.retention_size import held_bytes, make_room
from node.jobs.withdrawing import Withdrawer, list_reports
from node.receive.parser import HeaderParser
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Node, a_database, a_node, a_note
from tests.receive_fixtures import Desk, a_desk_in, an_ultrasound

GREY, OTHER = "1.2.3.1", "1.2.3.2"
TERMS = Terms(unreferenced_days=14, proven_days=90)


def in_days(days: float) -> datetime:
    return utc_now() + timedelta(days=days)


@pytest.fixture(scope="module", params=DATABASES)
def the_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("retention")
    with a_database(request.param, folder) as url, a_node(url, folder, "one", "pacs") as node:
        yield node


@pytest.fixture
def a_running_node(the_node: Node) -> Node:
    the_node.anew()
    return the_node


def keeper(node: Node) -> Keeper:
    return Keeper(node.database, Trail("deliver"), node.blobs, TERMS)


def standings(node: Node) -> dict[str, str]:
    """The standing of each instance of the test's study, by the factory's UID."""
    with node.database.connect() as connection:
        rows = connection.execute(
            select(Instance.sop_instance_uid, Instance.standing)
            .where(Instance.study_instance_uid == node.study)
            .order_by(Instance.id)
        )
        return {uid.replace(node.study, "1.2.3"): standing for uid, standing in rows}


def gone(node: Node) -> set[str]:
    return {uid for uid, standing in standings(node).items() if standing == "expired"}


def touch(node: Node, at: datetime) -> None:
    """The study comes in once more, as the receiver notes it."""
    with node.database.begin() as connection:
        node.trail.record(connection, "instance", "duplicate", node.uid(GREY), study=node.study)
    assert at <= utc_now()


def reports(node: Node) -> list[Path]:
    with node.database.connect() as connection:
        hashes = connection.scalars(
            select(ReportRow.blob_sha256)
            .join(Job, Job.id == ReportRow.job_id)
            .where(Job.study_instance_uid == node.study)
        )
        return [node.blobs.path(one) for one in hashes]


def test_an_image_that_no_case_uses_expires_and_the_ledger_says_so(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY))
    keeper(a_running_node).expire(in_days(13.9))
    assert gone(a_running_node) == set()
    assert keeper(a_running_node).due(in_days(14.1)).instances >= 1
    keeper(a_running_node).expire(in_days(14.1))
    assert gone(a_running_node) == {GREY}
    with a_running_node.database.connect() as connection:
        uid = a_running_node.uid(GREY)
        words = connection.scalars(
            select(LedgerInstance.event).where(LedgerInstance.subject == uid)
        ).all()
    assert words == ["expired"]


def test_a_proven_report_and_its_sources_expire_and_the_finding_stays(
    a_running_node: Node,
) -> None:
    node = a_running_node
    node.receive(an_image(GREY), an_image(OTHER), a_seg(a_segment(1, GREY)))
    (job,) = node.settles("done")
    _renamed(node)
    _old(reports(node))
    keeper(node).expire(in_days(89))
    assert gone(node) == {OTHER}
    assert all(path.is_file() for path in reports(node))
    keeper(node).expire(in_days(91))
    assert gone(node) == {GREY, OTHER, "1.2.3.9"}
    assert not any(path.is_file() for path in reports(node))
    assert [one["id"] for one in list_reports(node.database) if one["job"] == job["id"]]


def _renamed(node: Node) -> None:
    """Give the test's report bytes of its own: all fixtures' reports are equal otherwise."""
    blob = node.blobs.put(f"SR of {node.study}".encode())
    with node.database.begin() as connection:
        jobs = select(Job.id).where(Job.study_instance_uid == node.study)
        connection.execute(
            update(ReportRow).where(ReportRow.job_id.in_(jobs)).values(blob_sha256=blob.sha256)
        )


def _old(paths: list[Path]) -> None:
    for path in paths:
        if path.is_file():
            os.utime(path, (0, 0))


@pytest.mark.parametrize(
    ("state", "delivery"),
    [
        ("delivering", "sent"),
        ("delivering", "pending"),
        ("dead", "dead"),
        ("held", "proven"),
        ("waiting", "proven"),
        ("queued", "proven"),
        ("running", "proven"),
        ("done", "dead"),
        ("done", "withdrawn"),
    ],
)
def test_nothing_expires_that_is_undelivered_or_under_way(
    a_running_node: Node, state: str, delivery: str
) -> None:
    node = a_running_node
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = node.settles("done")
    with node.database.begin() as connection:
        connection.execute(update(Job).where(Job.id == job["id"]).values(state=state))
        connection.execute(
            update(Delivery).where(Delivery.job_id == job["id"]).values(state=delivery)
        )
    keeper(node).expire(in_days(1000))
    assert gone(node) == set()
    with node.database.begin() as connection:  # for the tests that come after
        connection.execute(update(Job).where(Job.id == job["id"]).values(state="dead"))


def test_above_the_size_the_oldest_of_what_may_go_expires_earlier(a_running_node: Node) -> None:
    node = a_running_node
    node.receive(an_image(GREY), an_image(OTHER))
    _aged(node, GREY, 10)
    _aged(node, OTHER, 5)
    house, held = keeper(node), held_bytes(node.database)
    assert make_room(house, held).instances == 0  # it fits
    assert make_room(house, 0).instances == 0  # no limit
    assert gone(node) == set()
    assert make_room(house, held - 1).instances >= 1
    assert gone(node) == {GREY}
    assert held_bytes(node.database) < held
    with node.database.connect() as connection:
        details = connection.scalars(
            select(LedgerSystem.detail).where(LedgerSystem.event == "retention-shortened")
        ).all()
    assert (details[-1]["held"], details[-1]["maximum"]) == (held, held - 1)


def test_no_size_is_small_enough_for_what_is_undelivered_or_of_today(
    a_running_node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node = a_running_node
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = node.settles("done")
    node.receive(an_image(OTHER))
    with node.database.begin() as connection:
        connection.execute(update(Job).where(Job.id == job["id"]).values(state="delivering"))
    make_room(keeper(node), 1, in_days(0.9))
    assert gone(node) == set()
    assert "are undelivered, in use or younger than a day" in caplog.text
    with node.database.begin() as connection:  # for the tests that come after
        connection.execute(update(Job).where(Job.id == job["id"]).values(state="dead"))


def _aged(node: Node, uid: str, days: float) -> None:
    """Let an instance have come so many days ago."""
    with node.database.begin() as connection:
        connection.execute(
            update(Instance)
            .where(Instance.sop_instance_uid == node.uid(uid))
            .values(received_at=in_days(-days))
        )


def test_an_image_that_a_waiting_seg_of_another_study_needs_stays(a_running_node: Node) -> None:
    node = a_running_node
    node.receive(an_image(GREY))
    mine = node.uid(GREY)
    first, node.study = node.study, f"{node.study}.77"
    node.receive(a_seg(a_segment(1, mine, "1.2.3.55")))
    (job,) = node.settles("waiting")
    node.study = first
    keeper(node).expire(in_days(1000))
    assert gone(node) == set()
    node.desk.cancel(job["id"])


def test_a_study_that_is_touched_again_keeps_all(a_running_node: Node) -> None:
    node = a_running_node
    node.receive(an_image(GREY))
    with node.database.begin() as connection:
        connection.execute(
            update(Instance)
            .where(Instance.study_instance_uid == node.study)
            .values(received_at=in_days(-100))
        )
    touch(node, utc_now())
    keeper(node).expire(in_days(13))
    assert gone(node) == set()
    keeper(node).expire(in_days(15))
    assert gone(node) == {GREY}


def test_a_seg_on_an_expired_image_waits_and_says_until_when_the_image_was_here(
    a_running_node: Node,
) -> None:
    node = a_running_node
    node.receive(an_image(GREY))
    day = in_days(20)
    keeper(node).expire(day)
    node.receive(a_seg(a_segment(1, GREY)))
    (job,) = node.settles("waiting")
    said = f"image {node.uid(GREY)} expired on {day.astimezone(UTC).date()}: send it again"
    assert node.jobs()[0]["reason"] == said
    node.desk.cancel(job["id"])


def test_the_withdrawal_of_an_expired_report_says_where_to_reject_it(a_running_node: Node) -> None:
    node = a_running_node
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = node.settles("done")
    keeper(node).expire(in_days(91))
    (report,) = (one for one in list_reports(node.database) if one["job"] == job["id"])
    withdrawer = Withdrawer(node.database, Trail("person:eve"), node.engine, node.blobs, a_note)
    with pytest.raises(JobError, match=r"expired on .*reject it in the archive"):
        withdrawer.withdraw(str(report["id"]), "wrong patient")


def test_a_refused_job_that_a_person_retries_after_its_time_needs_its_images_again(
    a_running_node: Node,
) -> None:
    node = a_running_node
    node.rooms.refuse = True
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = node.settles("refused")
    keeper(node).expire(in_days(91))
    with node.database.begin() as connection:
        row = states.hold(connection, job["id"])
        assert row.expired_at is not None
        states.change(connection, node.trail, row, "waiting")
        assert states.find(connection, job["id"]).expired_at is None
    node.desk.cancel(job["id"])


def test_a_job_names_its_seg_and_what_its_cases_use(a_running_node: Node) -> None:
    node = a_running_node
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = node.settles("done")
    query = select(JobInstance.sop_instance_uid).where(JobInstance.job_id == job["id"])
    with node.database.connect() as connection:
        assert set(connection.scalars(query)) == {node.uid(GREY), node.uid("1.2.3.9")}


def test_the_migration_names_what_the_jobs_of_before_need(tmp_path: Path) -> None:
    database = open_engine(f"sqlite:///{tmp_path / 'old.db'}")
    cases = {"cases": [Case("c", "1.2.3.9", 1, "", "", "", (FrameReference(GREY),)).to_json()]}
    seg = a_seg(a_segment(1, OTHER)).to_json()
    with database.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        connection.execute(
            text(
                "INSERT INTO job (seg_uid, generation, state, reason, study_instance_uid, "
                "patient_id, cases, run, created_at, updated_at) VALUES ('1.2.3.9', 1, 'waiting', "
                "'', '1.2.3', '', :cases, 0, '2026-01-01', '2026-01-01')"
            ),
            {"cases": json.dumps(cases)},
        )
        connection.execute(
            text(
                "INSERT INTO instance (sop_instance_uid, version, standing, sop_class_uid, "
                "study_instance_uid, series_instance_uid, modality, patient_id, blob_sha256, size, "
                "header, source, received_at) VALUES ('1.2.3.9', 1, 'current', '1', '1.2.3', '1', "
                "'SEG', '', '', 1, :header, '', '2026-01-01')"
            ),
            {"header": json.dumps(seg)},
        )
        command.upgrade(config, "head")
        named = set(connection.scalars(select(JobInstance.sop_instance_uid)))
    database.dispose()
    assert {"1.2.3.9", GREY, OTHER} <= named


def a_kept(desk: Desk) -> Keeper:
    return Keeper(desk.engine, Trail("deliver"), desk.blobs, TERMS)


@pytest.fixture
def an_image_of_long_ago(tmp_path: Path, a_parser: HeaderParser) -> tuple[Desk, Dataset]:
    desk = a_desk_in(tmp_path, a_parser)
    dataset = an_ultrasound()
    desk.accept(dataset)
    _old(list(blobs(desk)))
    return desk, dataset


def blobs(desk: Desk) -> Iterator[Path]:
    return desk.blobs.root.glob("??/*")


def test_an_expired_image_that_is_sent_again_is_new(
    an_image_of_long_ago: tuple[Desk, Dataset],
) -> None:
    desk, dataset = an_image_of_long_ago
    a_kept(desk).expire(in_days(20))
    assert list(blobs(desk)) == []
    again = desk.accept(dataset)
    assert again.standing == "current"
    assert desk.standings() == ["expired", "current"]
    assert len(list(blobs(desk))) == len(set(desk.enqueued)) - 1 == 1


def test_a_crash_between_row_and_file_is_finished_by_the_sweep(
    an_image_of_long_ago: tuple[Desk, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, _ = an_image_of_long_ago

    def dies(*_: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, "expire", dies)
        with pytest.raises(KeyboardInterrupt):
            a_kept(desk).expire(in_days(20))
    assert desk.standings() == ["expired"]
    assert len(list(blobs(desk))) == 1
    assert a_kept(desk).sweep() == 1
    assert list(blobs(desk)) == []


def test_an_image_that_comes_back_after_such_a_crash_keeps_its_file(
    an_image_of_long_ago: tuple[Desk, Dataset],
) -> None:
    desk, dataset = an_image_of_long_ago
    with desk.engine.begin() as connection:
        connection.execute(update(Instance).values(standing="expired", expired_at=utc_now()))
    assert desk.accept(dataset).standing == "current"
    assert a_kept(desk).sweep(in_days(30)) == 0
    assert len(list(blobs(desk))) == 1


def test_the_sweep_takes_what_no_row_names_and_nothing_young(
    an_image_of_long_ago: tuple[Desk, Dataset],
) -> None:
    desk, _ = an_image_of_long_ago
    orphan = desk.blobs.path(desk.blobs.put(b"nobody names me").sha256)
    arriving = desk.spool(b"half an image")
    left = desk.blobs.root / "spool" / "killed" / "x.part"
    left.parent.mkdir()
    left.write_bytes(b"left by a kill")
    _old([left])
    assert a_kept(desk).sweep() == 1
    assert (left.exists(), arriving.exists(), orphan.exists()) == (False, True, True)
    _old([orphan])
    assert a_kept(desk).sweep() == 1
    assert not orphan.exists()
    assert len(list(blobs(desk))) == 1
    with desk.engine.connect() as connection:
        details = connection.scalars(
            select(LedgerSystem.detail).where(LedgerSystem.event == "orphans-removed")
        ).all()
    assert [(one["blobs"], one["spooled"]) for one in details] == [(0, 1), (1, 0)]
