"""A wall clock that jumps is noticed, one that is slewed is not, and pairing waits for neither."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from node.config import PairingSettings
from node.jobs.clock import ClockWatch
from node.jobs.stages import PairingQuestion
from node.pair.completeness import decide
from tests.factories import a_seg, a_segment, an_image

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR_S = 3600.0


class Clocks:
    """A wall clock to set and a clock that nobody sets."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0
        self.watch = ClockWatch(lambda: self.wall, lambda: self.steady)

    def pass_by(self, seconds: float, *, set_by: float = 0.0) -> None:
        self.steady += seconds
        self.wall += seconds + set_by


@pytest.mark.parametrize("set_by", [-86_400.0, -HOUR_S, HOUR_S, 30 * 86_400.0])
def test_a_clock_that_was_set_is_noticed_once(set_by: float) -> None:
    clocks = Clocks()
    clocks.pass_by(10)
    assert clocks.watch.jump() == 0.0
    clocks.pass_by(10, set_by=set_by)
    assert clocks.watch.jump() == pytest.approx(set_by)
    clocks.pass_by(10)
    assert clocks.watch.jump() == 0.0


def test_a_clock_that_is_slewed_is_no_jump() -> None:
    clocks = Clocks()
    for _ in range(100):
        clocks.pass_by(600, set_by=0.3)  # 500 ppm, the most that time servers slew
        assert clocks.watch.jump() == 0.0


def test_after_a_jump_the_clock_is_not_trusted_for_a_day_by_the_steady_clock() -> None:
    clocks = Clocks()
    assert clocks.watch.trusted(86_400)
    clocks.pass_by(60, set_by=400 * 86_400)
    assert not clocks.watch.trusted(86_400)
    clocks.pass_by(86_000)
    assert not clocks.watch.trusted(86_400)
    clocks.pass_by(500)
    assert clocks.watch.trusted(86_400)


def _unreferenced(changed: timedelta, *, arriving: bool) -> PairingQuestion:
    image = an_image("1.2.3.1")
    seg = a_seg(a_segment(1))
    return PairingQuestion(
        seg=seg,
        seg_received_at=NOW + changed,
        images={image.sop_instance_uid: image},
        siblings=[],
        assignment=None,
        study_changed_at=NOW + changed,
        study_arriving=arriving,
        now=NOW,
        readings=(),
    )


SETTINGS = PairingSettings(unreferenced_quiet_s=20)


def test_a_study_that_changed_in_the_future_is_not_waited_for_once_nobody_sends() -> None:
    question = _unreferenced(timedelta(hours=1), arriving=False)
    assert decide(question, SETTINGS).state != "pending"


def test_while_it_is_still_sent_the_wait_is_one_quiet_time_at_most() -> None:
    question = _unreferenced(timedelta(hours=1), arriving=True)
    pairing = decide(question, SETTINGS)
    assert (pairing.state, pairing.wait_s) == ("pending", 20)
    later = replace(question, study_changed_at=NOW - timedelta(seconds=5))
    assert decide(later, SETTINGS).wait_s == 15
