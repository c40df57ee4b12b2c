"""The answer to a request reaches whoever asked, however late the reactor thread wakes up."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.dimse import DIMSEServiceProvider

from node.deliver.reactor import Checkpoint
from node.deliver.send import send_files
from tests.deliver_fixtures import an_archive, an_object

_LATE_S = 0.01


@pytest.fixture
def a_late_reactor(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A reactor that loses the processor after each pause; what it polls amid a request."""
    wait, ask, take = Checkpoint.wait, DIMSEServiceProvider.send_msg, DIMSEServiceProvider.get_msg
    asking: set[DIMSEServiceProvider] = set()
    polled: list[str] = []

    def late(self: Checkpoint, timeout: float | None = None) -> bool:
        answer = wait(self, timeout)
        time.sleep(_LATE_S)
        return answer

    def send(self: DIMSEServiceProvider, *arguments: Any) -> None:
        if self.assoc.is_requestor:
            asking.add(self)
        ask(self, *arguments)

    def get(self: DIMSEServiceProvider, block: bool = False) -> Any:  # noqa: FBT002 - pynetdicom's
        if not block and self in asking:
            polled.append(threading.current_thread().name)
        answer = take(self, block)
        if block:
            asking.discard(self)
        return answer

    monkeypatch.setattr(Checkpoint, "wait", late)
    monkeypatch.setattr(DIMSEServiceProvider, "send_msg", send)
    monkeypatch.setattr(DIMSEServiceProvider, "get_msg", get)
    return polled


def test_a_reactor_that_wakes_up_late_takes_no_answer_away(
    tmp_path: Path, a_late_reactor: list[str]
) -> None:
    paths = [an_object(tmp_path, number).path for number in range(1, 21)]
    with an_archive(answer=_slowly) as archive:
        results = send_files(paths, "ARCHIVE", "127.0.0.1", archive.port)
    assert [result.detail for result in results] == [""] * 20
    assert archive.associations == 1
    assert a_late_reactor == []


def _slowly(_: str) -> int:
    time.sleep(2 * _LATE_S)
    return 0x0000


def test_pausing_does_not_wait_for_a_reactor_that_has_ended() -> None:
    reactor = threading.Thread(target=lambda: None)
    reactor.start()
    reactor.join()
    checkpoint = Checkpoint(reactor)
    checkpoint.clear()
    assert not checkpoint.is_set()


def test_pausing_returns_when_the_reactor_stands_still() -> None:
    rounds: list[float] = []
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            checkpoint.wait()
            rounds.append(time.monotonic())

    reactor = threading.Thread(target=run)
    checkpoint = Checkpoint(reactor)
    reactor.start()
    try:
        for _ in range(50):
            checkpoint.clear()
            stood = len(rounds)
            time.sleep(0.001)
            assert len(rounds) == stood
            checkpoint.set()
    finally:
        ended.set()
        checkpoint.set()
        reactor.join(5)
