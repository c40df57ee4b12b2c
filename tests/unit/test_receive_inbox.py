"""Nothing is acknowledged before it is on the disk, and everything leaves its trace."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom.uid import ImplicitVRLittleEndian
from sqlalchemy import event, insert
from sqlalchemy.exc import OperationalError

from node.audit.tables import Job, Report
from node.audit.trail import Trail
from node.database import utc_now
from node.errors import IntakeError
from node.receive.announced import Announced
from node.receive.faults import DeclinedError
from node.receive.parser import HeaderParser
from node.receive.settling import Settler
from sr_templates.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from tests.receive_fixtures import Desk, a_desk_in, a_document, an_ultrasound, encoded
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture(scope="module")
def a_parser() -> Iterator[HeaderParser]:
    with HeaderParser() as parser:
        parser.warm_up()
        yield parser


@pytest.fixture
def a_desk(tmp_path: Path, a_parser: HeaderParser) -> Desk:
    return a_desk_in(tmp_path, a_parser)


def test_an_accepted_instance_is_stored_recorded_and_enqueued(a_desk: Desk) -> None:
    dataset = an_ultrasound()
    accepted = a_desk.accept(dataset)
    assert accepted.standing == "current"
    assert a_desk.enqueued == [accepted.instance_id]
    ((sha256, size),) = a_desk.rows("SELECT blob_sha256, size FROM instance")
    assert a_desk.blobs.verify(sha256)
    assert size == len(encoded(dataset))
    assert a_desk.events() == ["received"]
    assert a_desk.spooled() == []


def test_bytes_are_synced_renamed_and_committed_in_this_order(
    a_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        steps.append("fsync file" if name.endswith(".part") else "fsync folder")
        real_fsync(descriptor)

    def rename(path: Path, target: Any) -> Path:
        steps.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    event.listen(a_desk.engine, "commit", lambda _: steps.append("commit"))
    a_desk.accept(an_ultrasound())
    last_sync = max(n for n, step in enumerate(steps) if step == "fsync folder")
    assert steps.index("fsync file") < steps.index("rename") < last_sync < steps.index("commit")
    assert steps.count("commit") == 1


def test_the_same_instance_twice_makes_one_row_and_no_second_job(a_desk: Desk) -> None:
    dataset = an_ultrasound()
    first = a_desk.accept(dataset)
    again = a_desk.accept(dataset, ImplicitVRLittleEndian)
    assert (again.standing, again.instance_id) == ("duplicate", first.instance_id)
    assert a_desk.enqueued == [first.instance_id]
    assert a_desk.events() == ["received", "duplicate"]
    assert a_desk.spooled() == []


def test_corrected_demographics_supersede_and_are_enqueued(a_desk: Desk) -> None:
    dataset = an_ultrasound()
    a_desk.accept(dataset)
    dataset.PatientID = "P2"
    second = a_desk.accept(dataset)
    assert second.standing == "current"
    assert a_desk.standings() == ["superseded", "current"]
    assert a_desk.enqueued == [1, second.instance_id]
    assert a_desk.events() == ["received", "updated"]


def test_other_pixels_under_the_same_uid_are_kept_but_never_used(a_desk: Desk) -> None:
    dataset = an_ultrasound()
    a_desk.accept(dataset)
    dataset.PixelData = bytes(24)
    conflict = a_desk.accept(dataset)
    assert conflict.standing == "conflict"
    assert a_desk.standings() == ["current", "conflict"]
    assert a_desk.enqueued == [1]
    ((sha256,),) = a_desk.rows("SELECT blob_sha256 FROM instance WHERE standing='conflict'")
    assert a_desk.blobs.verify(sha256)


def test_pixels_are_hashed_only_where_they_are_compared(
    a_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = HeaderParser.content_hash

    def counted(parser: HeaderParser, path: Path) -> str:
        hashed.append(path.name)
        return real(parser, path)

    monkeypatch.setattr(HeaderParser, "content_hash", counted)
    dataset = an_ultrasound()
    a_desk.accept(dataset)
    a_desk.accept(dataset)
    assert hashed == []
    dataset.PatientID = "P2"
    a_desk.accept(dataset)
    assert len(hashed) == len(set(hashed)) == 2
    dataset.PatientID = "P3"
    a_desk.accept(dataset)
    assert len(hashed) == 3, "of one that was compared its hash is known"
    assert a_desk.events() == ["received", "duplicate", "updated", "updated"]


def test_what_cannot_be_compared_with_a_damaged_file_is_a_conflict(a_desk: Desk) -> None:
    dataset = an_ultrasound()
    a_desk.accept(dataset)
    ((sha256,),) = a_desk.rows("SELECT blob_sha256 FROM instance")
    path = a_desk.blobs.path(sha256)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-5])
    dataset.PatientID = "P2"
    assert a_desk.accept(dataset).standing == "conflict"
    assert a_desk.standings() == ["current", "conflict"]


def test_a_document_with_other_content_is_a_conflict(a_desk: Desk) -> None:
    document = a_document("one")
    a_desk.accept(document)
    document.ContentSequence[0].TextValue = "two"
    assert a_desk.accept(document).standing == "conflict"


def test_our_own_equipment_is_recognised_and_never_enqueued(a_desk: Desk) -> None:
    ours = a_document(Manufacturer=MANUFACTURER, ManufacturerModelName=MANUFACTURER_MODEL_NAME)
    assert a_desk.accept(ours).standing == "own"
    assert a_desk.accept(ours).standing == "duplicate"
    assert a_desk.enqueued == []
    assert a_desk.events() == ["own", "duplicate"]


def test_an_instance_with_the_uid_of_our_report_is_own_whatever_its_equipment(
    a_desk: Desk,
) -> None:
    document = a_document()
    now = utc_now()
    with a_desk.engine.begin() as connection:
        job = {"seg_uid": "1.9", "generation": 1, "state": "done", "cases": {}, "reason": ""}
        job |= {"study_instance_uid": "1.2.3", "patient_id": "P1", "run": 0}
        connection.execute(insert(Job).values(id=1, created_at=now, updated_at=now, **job))
        report = {"job_id": 1, "kind": "sr", "sop_class_uid": "1.2", "size": 1}
        report |= {"series_instance_uid": "1.3", "study_instance_uid": "1.2.3"}
        report |= {"sop_instance_uid": document.SOPInstanceUID, "blob_sha256": "0" * 64}
        connection.execute(insert(Report).values(created_at=now, **report))
    assert a_desk.accept(document).standing == "own"
    assert a_desk.enqueued == []


def test_a_failing_enqueue_takes_the_row_back_and_the_sender_is_told(
    a_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("disk I/O error"))

    settler = Settler(a_desk.engine, a_desk.blobs, Trail("receive"), fail)
    monkeypatch.setattr(a_desk.inbox._settling, "_work", settler.settle)
    with pytest.raises(DeclinedError) as declined:
        a_desk.accept(an_ultrasound())
    assert declined.value.status == 0xA700
    assert a_desk.standings() == []
    assert a_desk.events() == []
    assert a_desk.spooled() == []


def test_garbage_leaves_a_ledger_row_and_no_file(a_desk: Desk) -> None:
    with pytest.raises(DeclinedError) as declined:
        a_desk.inbox.accept(a_desk.spool(b"garbage"), "A@127.0.0.1")
    assert declined.value.status == 0xC000
    assert a_desk.events() == ["refused"]
    assert a_desk.spooled() == []
    ((detail,),) = a_desk.rows("SELECT detail FROM ledger_instance")
    assert "no DICOM file" in detail


def test_another_instance_than_the_announced_one_is_refused(a_desk: Desk) -> None:
    file = a_desk.spool(encoded(an_ultrasound()))
    with pytest.raises(DeclinedError) as declined:
        a_desk.inbox.accept(file, "A@127.0.0.1", announced=Announced(sop_instance_uid="1.2.3"))
    assert declined.value.status == 0xA900
    assert a_desk.events() == ["refused"]


def test_a_class_that_no_one_asked_for_is_refused(a_desk: Desk) -> None:
    with pytest.raises(DeclinedError) as declined:
        a_desk.accept(an_ultrasound(SOPClassUID="1.2.840.10008.5.1.4.1.1.2"))
    assert declined.value.status == 0x0122


def test_a_full_disk_declines_and_writes_nothing(tmp_path: Path, a_parser: HeaderParser) -> None:
    desk = a_desk_in(tmp_path, a_parser, minimum_free_mib=1 << 40)
    with pytest.raises(DeclinedError, match="MiB of disk") as declined:
        desk.accept(an_ultrasound())
    assert declined.value.status == 0xA700
    assert desk.events() == []
    assert desk.spooled() == []


def test_a_deep_queue_declines_until_it_is_shorter(
    tmp_path: Path, a_parser: HeaderParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.receive.room._REMEMBER_S", -1.0)
    desk = a_desk_in(tmp_path, a_parser, maximum_backlog=2)
    values = {"study_instance_uid": "1", "patient_id": "", "cases": {}, "run": 0, "reason": ""}
    values |= {"generation": 1, "created_at": utc_now(), "updated_at": utc_now()}
    with desk.engine.begin() as connection:
        for uid, state in (("1.1", "queued"), ("1.2", "waiting"), ("1.3", "running")):
            connection.execute(insert(Job).values(seg_uid=uid, state=state, **values))
    with pytest.raises(DeclinedError, match="2 jobs are queued"):
        desk.accept(an_ultrasound())
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE job SET state='done' WHERE seg_uid='1.1'")
    assert desk.accept(an_ultrasound()).standing == "current"


def test_many_threads_with_one_instance_make_one_row(a_desk: Desk) -> None:
    data = encoded(an_ultrasound())
    standings: list[str] = []

    def send() -> None:
        standings.append(a_desk.inbox.accept(a_desk.spool(data), "A@127.0.0.1").standing)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(standings) == ["current"] + ["duplicate"] * 5
    assert a_desk.standings() == ["current"]
    assert len(a_desk.enqueued) == 1


def children() -> list[psutil.Process]:
    """The header children of this process."""
    return [
        child
        for child in psutil.Process().children()
        if "node.receive.header_child" in child.cmdline()
    ]


def test_a_header_that_takes_too_long_is_refused_and_the_next_one_is_read(tmp_path: Path) -> None:
    stuck = tmp_path / "fifo"
    os.mkfifo(stuck)
    good = tmp_path / "good.dcm"
    good.write_bytes(encoded(an_ultrasound()))
    with HeaderParser(children=1, deadline_s=0.5) as parser:
        with pytest.raises(IntakeError, match=r"longer than 0\.5 s"):
            parser.read(stuck)
        assert parser.read(good).rows == 4


@contextmanager
def _opened_by_the_child(fifo: Path) -> Iterator[None]:
    """Hold the end of a pipe that nothing is written to, once somebody wants to read the other."""
    ends: list[int] = []

    def open_it() -> bool:
        with suppress(OSError):  # nobody reads
            ends.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        return bool(ends)

    wait_for(open_it)
    try:
        yield
    finally:
        os.close(ends[0])


def test_a_killed_header_child_costs_one_instance_and_one_restart(tmp_path: Path) -> None:
    stuck = tmp_path / "fifo"
    os.mkfifo(stuck)
    good = tmp_path / "good.dcm"
    good.write_bytes(encoded(an_ultrasound()))
    before = {child.pid for child in children()}
    failures: list[str] = []

    def read() -> None:
        try:
            parser.read(stuck)
        except IntakeError as error:
            failures.append(str(error))

    with HeaderParser(children=1) as parser:
        parser.warm_up()
        (child,) = (child for child in children() if child.pid not in before)
        reader = threading.Thread(target=read)
        reader.start()
        with _opened_by_the_child(stuck):
            child.kill()
            reader.join(PATIENCE_S)
        assert failures == ["reading the header broke the reading process"]
        assert parser.read(good).rows == 4
        (fresh,) = (child for child in children() if child.pid not in before)
        assert fresh.pid != child.pid
    assert {child.pid for child in children()} == before


@pytest.mark.usefixtures("a_parser")
def test_a_header_child_has_bounded_memory() -> None:
    assert children()
    for child in children():
        soft, hard = child.rlimit(psutil.RLIMIT_AS)
        assert soft == hard
        assert soft < 3 << 30
