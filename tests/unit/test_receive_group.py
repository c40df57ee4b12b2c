"""Instances that come together share one transaction, and none suffers from another's fault."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from node.errors import BlobError
from node.receive.faults import DeclinedError
from node.receive.group import Group
from node.receive.parser import HeaderParser
from node.receive.settling import Accepted
from tests.receive_fixtures import Desk, a_desk_in, an_ultrasound, encoded


@pytest.fixture(scope="module")
def a_parser() -> Iterator[HeaderParser]:
    with HeaderParser(children=4) as parser:
        parser.warm_up()
        yield parser


@pytest.fixture
def a_desk(tmp_path: Path, a_parser: HeaderParser) -> Desk:
    return a_desk_in(tmp_path, a_parser)


class SlowWork:
    """Work that waits for a signal, so that the next items gather."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()

    def __call__(self, items: Sequence[str]) -> Sequence[str | Exception]:
        self.calls.append(list(items))
        self.go.wait(10)
        if "bad" in items:
            raise ValueError("bad")
        return [item.upper() for item in items]


def all_at_once(group: Group[str, str], items: Sequence[str], work: SlowWork) -> dict[str, object]:
    """Have items done by a thread each; the first alone, the others while it is at work."""
    outcomes: dict[str, object] = {}

    def one(name: str, key: str) -> None:
        try:
            outcomes[name] = group.do(key, key)
        except ValueError as error:
            outcomes[name] = error

    threads = [
        threading.Thread(target=one, args=(f"{key}{number}", key))
        for number, key in enumerate(items)
    ]
    threads[0].start()
    while not work.calls:
        pass
    for thread in threads[1:]:
        thread.start()
    while len(group._waiting) < len(items) - 1:
        pass
    work.go.set()
    for thread in threads:
        thread.join(10)
    return outcomes


def test_what_gathers_while_one_is_at_work_is_done_together() -> None:
    work = SlowWork()
    outcomes = all_at_once(Group(work), ["a", "b", "c", "d"], work)
    assert outcomes == {"a0": "A", "b1": "B", "c2": "C", "d3": "D"}
    assert work.calls[0] == ["a"]
    assert sorted(work.calls[1]) == ["b", "c", "d"]


def test_who_serves_waits_a_moment_for_those_who_are_about_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.receive.group.GATHERING_S", 0.5)
    calls: list[list[str]] = []

    def work(items: Sequence[str]) -> Sequence[str | Exception]:
        calls.append(list(items))
        return list(items)

    group: Group[str, str] = Group(work, expects_more=lambda: True)
    threads = [threading.Thread(target=group.do, args=(key, key)) for key in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [sorted(call) for call in calls] == [["a", "b", "c"]]


def test_two_of_one_key_are_never_done_together() -> None:
    work = SlowWork()
    outcomes = all_at_once(Group(work), ["a", "b", "b"], work)
    assert len(outcomes) == 3
    assert work.calls == [["a"], ["b"], ["b"]]


def test_the_fault_of_one_is_no_fault_of_the_others() -> None:
    work = SlowWork()
    outcomes = all_at_once(Group(work), ["a", "bad", "c"], work)
    assert outcomes["a0"] == "A"
    assert outcomes["c2"] == "C"
    assert isinstance(outcomes["bad1"], ValueError)


def test_eight_at_once_are_all_kept_in_fewer_commits(a_desk: Desk) -> None:
    commits: list[int] = []
    event.listen(a_desk.engine, "commit", lambda _: commits.append(1))
    accepted = accept_together(a_desk, 24)
    assert len(accepted) == 24
    assert a_desk.standings() == ["current"] * 24
    assert sorted(a_desk.enqueued) == sorted(one.instance_id for one in accepted)
    assert a_desk.events() == ["received"] * 24
    assert a_desk.spooled() == []
    assert len(commits) < 24
    for (sha256,) in a_desk.rows("SELECT blob_sha256 FROM instance"):
        assert a_desk.blobs.verify(sha256)


def test_the_same_instance_from_eight_senders_is_one_row(a_desk: Desk) -> None:
    accepted = accept_together(a_desk, 8, same=True)
    assert len({one.instance_id for one in accepted}) == 1
    assert sorted(one.standing for one in accepted) == ["current"] + ["duplicate"] * 7
    assert a_desk.standings() == ["current"]
    assert len(a_desk.enqueued) == 1


def test_bytes_of_a_group_are_on_the_disk_before_its_one_commit(
    a_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsynced: dict[str, Path] = {}
    synced_files: set[Path] = set()
    faults: list[str] = []
    commits: list[int] = []
    real_fsync, real_rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        lying_there = [name for name, folder in unsynced.items() if folder == path]
        real_fsync(descriptor)
        synced_files.add(path)
        for name in lying_there:
            unsynced.pop(name, None)

    def rename(path: Path, target: Path) -> Path:
        if path not in synced_files:
            faults.append("renamed before its bytes were synced")
        unsynced[target.name] = target.parent
        return real_rename(path, target)

    def commit(connection: Connection) -> None:
        rows = connection.execute(text("SELECT blob_sha256 FROM instance")).scalars().all()
        commits.append(len(rows))
        if unsynced.keys() & set(rows):
            faults.append("committed before the folder was synced")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    event.listen(a_desk.engine, "commit", commit)
    assert len(accept_together(a_desk, 8)) == 8
    assert faults == []
    assert commits[-1] == 8
    assert len([path for path in synced_files if path.suffix == ".part"]) == 8


def test_a_full_disk_takes_one_instance_and_not_its_neighbours(
    a_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = a_desk.blobs.move
    unlucky: list[str] = []

    def move(hardened: Path, sha256: str) -> None:
        unlucky[:] = unlucky or [sha256]
        if sha256 in unlucky:
            raise BlobError("cannot store a received file: no space left on device")
        real(hardened, sha256)

    monkeypatch.setattr(a_desk.blobs, "move", move)
    accepted = accept_together(a_desk, 6, allow_declined=1)
    assert len(accepted) == 5
    assert a_desk.standings() == ["current"] * 5
    assert a_desk.spooled() == []


def accept_together(
    desk: Desk, number: int, *, same: bool = False, allow_declined: int = 0
) -> list[Accepted]:
    """Have instances accepted by a thread each."""
    accepted: list[Accepted] = []
    declined: list[DeclinedError] = []
    start = threading.Barrier(number)
    common = an_ultrasound()

    def one() -> None:
        path = desk.spool(encoded(common if same else an_ultrasound()))
        start.wait(10)
        try:
            accepted.append(desk.inbox.accept(path, "A@127.0.0.1"))
        except DeclinedError as error:
            declined.append(error)

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(declined) == allow_declined
    return accepted
