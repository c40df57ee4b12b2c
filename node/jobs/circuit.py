"""When deliveries to a destination that is down go on: pure, no clock, no random number.

While a destination is down its deliveries stand in line, and one of them goes to see whether it is
up again: the probe. When one gets through, the line moves: each that gets through lets two more go,
up to a width, so that an archive that has just come up is not run over by what has waited for it.

A delivery that was let out of the line carries a ticket, the number of the round that let it out.
Whenever the destination fails again a new round begins, and tickets of earlier ones are void.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

State = Literal["closed", "open", "ramp"]
_GROWTH = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """How a destination that is down is treated; times in seconds.

    Attributes:
        failures_to_open: So many attempts in a row without an answer, and it counts as down.
        first_probe_s: Until the first probe; the wait doubles from probe to probe.
        longest_probe_s: Between two probes at most.
        widest: So many deliveries of the line are under way at most.
        patience_s: Whoever has stood in line for so long is given up, visibly.
    """

    failures_to_open: int = 3
    first_probe_s: float = 5
    longest_probe_s: float = 5 * 60
    widest: int = 8
    patience_s: float = 3 * 86_400

    def __post_init__(self) -> None:
        if min(self.failures_to_open, self.widest) < 1:
            raise ValueError("failures_to_open and widest count from 1")
        if not 0 < self.first_probe_s <= self.longest_probe_s < self.patience_s:
            raise ValueError("first_probe_s, longest_probe_s and patience_s are in this order")


PACE = Pace()


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of one destination.

    Attributes:
        state: `closed` (deliveries go), `open` (it is down) or `ramp` (it has just come up).
        failures: Attempts in a row that did not get through.
        round: Of the tickets that are valid now.
    """

    state: State = "closed"
    failures: int = 0
    round: int = 0

    def admits(self, ticket: int) -> bool:
        """Tell whether a delivery may go now; 0 is no ticket."""
        return self.state == "closed" or ticket == self.round


@dataclass(frozen=True, slots=True)
class Line:
    """Who stands in line before a destination, without the delivery that is asked about.

    Attributes:
        waiting: Deliveries without a valid ticket.
        out: Deliveries that have one and have not come back.
    """

    waiting: int = 0
    out: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What follows from an attempt.

    Attributes:
        circuit: What is known now.
        joins: The delivery itself goes to the end of the line.
        probe_s: The first of the line goes as the probe after so many seconds; None: nobody does.
        release: So many of the line go at once.
    """

    circuit: Circuit
    joins: bool = False
    probe_s: float | None = None
    release: int = 0


def after_failure(circuit: Circuit, *, valid: bool, pace: Pace, draw: float) -> Order:
    """Decide what follows when a delivery did not get through: the destination is the reason.

    Args:
        circuit: What was known.
        valid: The delivery was let out of the line by this round.
        pace: How to treat a destination that is down.
        draw: A random number in [0, 1): the wait is shortened by up to half.
    """
    if circuit.state != "closed" and not valid:
        return Order(circuit, joins=True)
    failures = circuit.failures + 1
    if circuit.state == "closed" and failures < pace.failures_to_open:
        return Order(replace(circuit, failures=failures))
    doublings = min(max(failures - pace.failures_to_open, 0), 32)
    wait_s = min(pace.first_probe_s * 2**doublings, pace.longest_probe_s) * (1 - draw / 2)
    return Order(Circuit("open", failures, circuit.round + 1), joins=True, probe_s=wait_s)


def after_success(circuit: Circuit, line: Line, *, valid: bool, pace: Pace) -> Order:
    """Decide what follows when the destination has answered, whatever it said of the object."""
    if circuit.state == "closed":
        return Order(replace(circuit, failures=0))
    if not valid:
        return Order(circuit)
    if not line.waiting and not line.out:
        return Order(Circuit("closed", 0, circuit.round))
    room = max(pace.widest - line.out, 0)
    return Order(Circuit("ramp", 0, circuit.round), release=min(line.waiting, _GROWTH, room))


def after_nothing(circuit: Circuit, line: Line) -> Order:
    """Decide what follows when one that was let out had nothing to deliver any more.

    Where nobody is left to tell whether the destination is up, it stays as it is known: who comes
    next stands in line, and `OutageWatch` sends it to see.
    """
    if line.waiting:
        return Order(circuit, release=1)
    if line.out or circuit.state == "open":
        return Order(circuit)
    return Order(Circuit("closed", 0, circuit.round))
