"""Turns and priorities: pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.jobs.fairness import next_turn
from node.jobs.priority import PRIORITIES, of_request, rank


def served(arrivals: list[tuple[str, int]]) -> list[str]:
    """The senders in the order of service, one job at a time, `n` jobs of each arriving at once."""
    active: list[tuple[int, int, str]] = []
    order = 0
    for sender, jobs in arrivals:
        for _ in range(jobs):
            own = [turn for turn, _, who in active if who == sender]
            turn = next_turn(max(own, default=None), min((t for t, _, _ in active), default=None))
            active.append((turn, order, sender))
            order += 1
    return [sender for _, _, sender in sorted(active)]


def test_a_sender_with_one_job_does_not_wait_for_the_backlog_of_another() -> None:
    assert served([("busy", 1000), ("quiet", 1)]).index("quiet") == 1


@given(st.integers(1, 200), st.integers(1, 200))
def test_two_senders_are_served_in_turn_as_long_as_both_wait(first: int, second: int) -> None:
    order = served([("a", first), ("b", second)])
    both = order[: 2 * min(first, second)]
    assert abs(both.count("a") - both.count("b")) <= 1


def test_a_sender_that_sends_one_after_the_other_takes_no_more_than_its_share() -> None:
    active = {("busy", turn) for turn in range(1, 100)}
    own: int | None = 0  # the quiet one's first job has just been served at turn 0
    taken = []
    for _ in range(10):
        own = next_turn(None, min(turn for _, turn in active))
        first_of_busy = min(turn for _, turn in active)
        taken.append(own)
        assert own >= first_of_busy  # equal turns go to who waits longer
        active.remove(("busy", first_of_busy))
    assert taken == list(range(1, 11))


def test_turns_begin_anew_when_nothing_waits() -> None:
    assert next_turn(None, None) == 0


@pytest.mark.parametrize("turn", [0, 1, 10**6, 2**31])
def test_no_turn_outweighs_a_priority(turn: int) -> None:
    ranks = [rank(one, turn) for one in PRIORITIES]
    assert ranks == sorted(ranks)
    assert rank("stat", turn) < rank("high")
    assert max(ranks) < 2**31


def test_the_most_urgent_request_counts() -> None:
    assert of_request(["ROUTINE", "STAT", "LOW"]) == "stat"
    assert of_request(["MEDIUM"]) == "routine"
    assert of_request(["", "urgent", 3]) == ""
