"""A destination that is down for hours, by a clock of our own: what comes to it, and when."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field, replace

import pytest

from node.jobs.circuit import (
    PACE,
    Circuit,
    Line,
    Order,
    after_failure,
    after_nothing,
    after_success,
)

HOUR_S = 3600.0


@dataclass
class World:
    """Deliveries, a destination that is up from a moment on, and the events in between."""

    up_at: float
    takes_s: float = 0.5
    circuit: Circuit = field(default_factory=Circuit)
    line: deque[int] = field(default_factory=deque)
    out: set[int] = field(default_factory=set)
    events: list[tuple[float, int, str, int, int]] = field(default_factory=list)
    attempts: list[tuple[float, float]] = field(default_factory=list)
    delivered: dict[int, float] = field(default_factory=dict)
    draws: random.Random = field(default_factory=lambda: random.Random(1))
    number: int = 0

    def at(self, moment: float, what: str, job: int, ticket: int = 0) -> None:
        self.number += 1
        heapq.heappush(self.events, (moment, self.number, what, job, ticket))

    def run(self, until: float) -> None:
        while self.events and self.events[0][0] <= until:
            moment, _, what, job, ticket = heapq.heappop(self.events)
            if what == "comes":
                self.comes(moment, job, ticket)
            else:
                self.ends(moment, job, ticket, reached=what == "reached")

    def comes(self, now: float, job: int, ticket: int) -> None:
        if not self.circuit.admits(ticket):
            self.line.append(job)
            return
        end = now + self.takes_s
        self.attempts.append((now, end))
        self.at(end, "reached" if now >= self.up_at else "down", job, ticket)

    def ends(self, now: float, job: int, ticket: int, *, reached: bool) -> None:
        valid = self.circuit.state != "closed" and ticket == self.circuit.round
        if valid:
            self.out.discard(job)
        if reached:
            self.delivered[job] = now
            waits = Line(len(self.line), len(self.out))
            order = after_success(self.circuit, waits, valid=valid, pace=PACE)
        else:
            draw = self.draws.random()
            order = after_failure(self.circuit, valid=valid, pace=PACE, draw=draw)
        if order.circuit.round != self.circuit.round:
            self.line.extendleft(self.out)
            self.out.clear()
        self.circuit = order.circuit
        if order.joins:
            self.line.append(job)
        elif not reached:
            self.at(now + 1, "comes", job)  # its own patience
        for _ in range(1 if order.probe_s is not None else order.release):
            first = self.line.popleft()
            self.out.add(first)
            self.at(now + (order.probe_s or 0.0), "comes", first, self.circuit.round)

    def busiest(self, since: float, until: float = float("inf")) -> int:
        """How many attempts were under way at once between two moments."""
        inside = [(a, b) for a, b in self.attempts if since <= a <= until]
        changes = sorted([(b, -1) for _, b in inside] + [(a, 1) for a, _ in inside])
        most = now = 0
        for _, change in changes:
            now += change
            most = max(most, now)
        return most


@pytest.mark.parametrize("jobs", [1, 40, 2000])
@pytest.mark.parametrize("down_h", [1, 12, 60])
def test_a_destination_that_is_down_for_hours_is_probed_and_not_flooded_when_it_is_back(
    jobs: int, down_h: int
) -> None:
    down_s = down_h * HOUR_S
    world = World(up_at=down_s)
    for job in range(jobs):
        world.at(down_s * job / jobs, "comes", job)  # they come in all the time that it is down
    world.run(down_s + 2 * HOUR_S)
    while_down = [begin for begin, _ in world.attempts if begin < down_s]
    assert len(while_down) <= 20 + down_s / (PACE.longest_probe_s / 2)
    assert world.busiest(since=60, until=down_s) == 1, "one probe at a time"
    assert len(world.delivered) == jobs
    assert len(world.attempts) - len(while_down) == jobs, "each arrives with one more attempt"
    assert world.busiest(since=down_s) <= PACE.widest
    first = min(world.delivered.values())
    assert first <= down_s + PACE.longest_probe_s + world.takes_s
    assert max(world.delivered.values()) <= first + 10 + jobs * world.takes_s / PACE.widest * 1.3
    assert world.circuit.state == "closed"


def test_the_line_begins_to_move_with_two_and_widens() -> None:
    world = World(up_at=HOUR_S)
    for job in range(500):
        world.at(float(job), "comes", job)
    world.run(3 * HOUR_S)
    back = min(world.delivered.values())
    widths = [world.busiest(back + 0.5 * step, back + 0.5 * step + 0.4) for step in range(4)]
    assert widths == [2, 4, 8, 8]


def test_fewer_failures_than_the_threshold_hold_nobody_up() -> None:
    circuit = Circuit()
    for failures in range(1, PACE.failures_to_open):
        order = after_failure(circuit, valid=False, pace=PACE, draw=0.0)
        assert order == Order(Circuit("closed", failures))
        circuit = order.circuit
    assert after_success(circuit, Line(), valid=False, pace=PACE) == Order(Circuit())
    opened = after_failure(circuit, valid=False, pace=PACE, draw=0.0)
    assert opened == Order(Circuit("open", 3, 1), joins=True, probe_s=PACE.first_probe_s)


def test_the_waits_between_probes_double_up_to_the_longest_and_differ_by_chance() -> None:
    circuit, waits = Circuit("open", 3, 1), []
    for _ in range(8):
        order = after_failure(circuit, valid=True, pace=PACE, draw=0.0)
        waits.append(order.probe_s)
        circuit = order.circuit
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    late = after_failure(circuit, valid=True, pace=PACE, draw=0.999)
    assert late.probe_s == pytest.approx(150, rel=0.01)


def test_who_was_under_way_when_it_went_down_joins_the_line_and_begins_no_round() -> None:
    circuit = Circuit("open", 5, 4)
    assert after_failure(circuit, valid=False, pace=PACE, draw=0.5) == Order(circuit, joins=True)
    assert after_success(circuit, Line(9, 1), valid=False, pace=PACE) == Order(circuit)


def test_a_failure_on_the_way_up_stops_the_line() -> None:
    order = after_failure(Circuit("ramp", 0, 7), valid=True, pace=PACE, draw=0.0)
    assert order == Order(Circuit("open", 1, 8), joins=True, probe_s=PACE.first_probe_s)
    assert not order.circuit.admits(7)


def test_one_without_anything_to_deliver_hands_its_ticket_on() -> None:
    circuit = Circuit("open", 9, 4)
    assert after_nothing(circuit, Line(3, 0)) == Order(circuit, release=1)
    assert after_nothing(circuit, Line(0, 1)) == Order(circuit)


def test_a_destination_before_which_nobody_is_left_is_as_down_or_up_as_it_was() -> None:
    down = Circuit("open", 9, 4)
    assert after_nothing(down, Line()) == Order(down)
    assert after_nothing(Circuit("ramp", 0, 4), Line()) == Order(Circuit("closed", 0, 4))


@pytest.mark.parametrize(
    "values",
    [{"failures_to_open": 0}, {"widest": 0}, {"first_probe_s": 0}, {"longest_probe_s": 1}],
)
def test_a_pace_that_does_not_hold_together_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"from 1|in this order"):
        replace(PACE, **values)
