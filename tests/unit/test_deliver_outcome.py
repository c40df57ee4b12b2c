"""What follows from an attempt: pure, so every path is tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.deliver.outcome import (
    Dead,
    ObjectOutcome,
    Policy,
    Proven,
    RetryAfter,
    next_step,
    retry_after,
)

DAY_S = 86_400

PROVEN = ObjectOutcome("2.25.1", "proven")
SENT = ObjectOutcome("2.25.1", "sent", "not found by query yet")
DOWN = ObjectOutcome("2.25.1", "failed", "cannot be reached")
REFUSED = ObjectOutcome("2.25.1", "failed", "SOP class not supported", permanent=True)

outcomes = st.sampled_from([PROVEN, SENT, DOWN, REFUSED])
draws = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 1000)


@pytest.mark.parametrize(
    ("attempt", "result", "step"),
    [
        (1, PROVEN, Proven()),
        (400, PROVEN, Proven()),
        (1, DOWN, RetryAfter(1)),
        (2, DOWN, RetryAfter(2)),
        (5, DOWN, RetryAfter(16)),
        (10, DOWN, RetryAfter(512)),
        (11, DOWN, RetryAfter(900)),
        (399, DOWN, RetryAfter(900)),
        (400, DOWN, Dead("given up after 400 attempts: cannot be reached")),
        (1, REFUSED, RetryAfter(30)),
        (2, REFUSED, RetryAfter(60)),
        (3, REFUSED, Dead("given up after 3 attempts: SOP class not supported")),
        (1, SENT, RetryAfter(30)),
        (3, SENT, RetryAfter(120)),
        (400, SENT, Dead("given up after 400 attempts: not found by query yet")),
    ],
)
def test_the_step_after_an_attempt(
    attempt: int, result: ObjectOutcome, step: Proven | RetryAfter | Dead
) -> None:
    assert next_step(attempt, result, Policy(), 0.0) == step


@given(attempts, outcomes, draws)
def test_only_what_is_proven_is_done(attempt: int, result: ObjectOutcome, draw: float) -> None:
    done = isinstance(next_step(attempt, result, Policy(), draw), Proven)
    assert done == (result.state == "proven")


@given(attempts, outcomes, draws)
def test_a_wait_is_never_longer_than_the_longest_nor_shorter_than_half_a_second(
    attempt: int, result: ObjectOutcome, draw: float
) -> None:
    step = next_step(attempt, result, Policy(), draw)
    if isinstance(step, RetryAfter):
        assert 0.5 < step.seconds <= 900


@given(outcomes, draws)
def test_delivery_always_ends(result: ObjectOutcome, draw: float) -> None:
    assert not isinstance(next_step(400, result, Policy(), draw), RetryAfter)


@given(draws)
def test_a_destination_may_be_down_for_two_days(draw: float) -> None:
    total = 0.0
    for attempt in range(1, 400):
        step = next_step(attempt, DOWN, Policy(), draw)
        assert isinstance(step, RetryAfter)
        total += step.seconds
    assert 2 * DAY_S < total < 5 * DAY_S


@given(attempts, st.lists(outcomes, max_size=4), draws)
def test_objects_are_tried_together_while_one_of_them_is_worth_it(
    attempt: int, results: list[ObjectOutcome], draw: float
) -> None:
    steps = [next_step(attempt, result, Policy(), draw) for result in results]
    waits = [step.seconds for step in steps if isinstance(step, RetryAfter)]
    seconds = retry_after(attempt, results, Policy(), draw)
    assert (seconds is None) == (not waits)
    assert seconds is None or seconds in waits


def test_a_refused_object_does_not_end_the_others() -> None:
    assert retry_after(3, [REFUSED, DOWN, PROVEN], Policy(), 0.0) == 4
    assert retry_after(3, [REFUSED, PROVEN], Policy(), 0.0) is None


@pytest.mark.parametrize(("attempt", "draw"), [(0, 0.5), (1, 1.0), (1, -0.1)])
def test_numbers_that_are_no_attempt_and_no_draw_are_refused(attempt: int, draw: float) -> None:
    with pytest.raises(ValueError, match="attempts count from 1"):
        next_step(attempt, DOWN, Policy(), draw)


@pytest.mark.parametrize(
    "values",
    [
        {"first_wait_s": 0},
        {"first_wait_s": 1000},
        {"first_unproven_wait_s": -1},
        {"permanent_attempts": 0},
        {"permanent_attempts": 500},
    ],
)
def test_a_policy_that_does_not_hold_together_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="between"):
        Policy(**values)


def test_what_is_not_failed_is_not_permanent() -> None:
    with pytest.raises(ValueError, match="only a failure"):
        ObjectOutcome("2.25.1", "sent", permanent=True)


def test_what_is_proven_waits_for_no_commitment() -> None:
    with pytest.raises(ValueError, match="waits for a commitment"):
        ObjectOutcome("2.25.1", "proven", transaction_uid="2.25.9")
