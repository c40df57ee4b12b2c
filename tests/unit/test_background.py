"""What a role does again and again goes on after failures and ends when it is told to."""

from __future__ import annotations

import threading

import pytest

from node.errors import DeliveryError
from node.service.background import Routine


class Passes:
    """Fails as often as told, then counts."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.failures, self.error, self.made = failures, error, 0
        self.succeeded = threading.Event()

    def __call__(self) -> None:
        self.made += 1
        if self.made <= self.failures:
            raise self.error or ValueError("a fault")
        self.succeeded.set()


def test_passes_go_on_after_faults_that_nobody_expected() -> None:
    passes = Passes(failures=2)
    stop = Routine("test", passes, every_s=0.01).start()
    assert passes.succeeded.wait(5)
    stop()
    assert passes.made >= 3


def test_an_expected_failure_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    passes = Passes(1, DeliveryError("nobody listens"))
    stop = Routine("test", passes, 0.01, (DeliveryError,)).start()
    assert passes.succeeded.wait(5)
    stop()
    assert [record.getMessage() for record in caplog.records] == ["test: nobody listens"]
    assert caplog.records[0].exc_info is None


def test_pauses_grow_while_passes_fail() -> None:
    passes = Passes(failures=1000)
    stop = Routine("test", passes, every_s=0.02).start()
    threading.Event().wait(0.5)  # 0.02, 0.06, 0.14, 0.3: not 25 passes
    stop()
    assert 1 <= passes.made <= 5


@pytest.mark.parametrize(("is_last_made", "made"), [(True, 1), (False, 0)])
def test_the_last_pass_is_made_where_it_is_wanted(is_last_made: bool, made: int) -> None:
    passes = Passes()
    stop = Routine("test", passes, every_s=60, is_last_made=is_last_made).start()
    stop()
    assert passes.made == made


def test_the_first_pass_is_made_at_once_where_it_is_wanted() -> None:
    passes = Passes()
    stop = Routine("test", passes, every_s=60, is_first_at_once=True).start()
    assert passes.succeeded.wait(5)
    stop()
    assert passes.made == 1
