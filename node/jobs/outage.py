"""The line of deliveries before a destination that is down, in the database that all share.

What a delivery that stands in line costs is one row: no task waits in the queue for it and nothing
is written while time goes by. All changes of one destination's line are made one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import random
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from node.audit.tables import CircuitRow, Delivery, InLine
from node.audit.trail import Trail
from node.database import lock, utc_now
from node.jobs.circuit import (
    PACE,
    Circuit,
    Line,
    Order,
    Pace,
    after_failure,
    after_nothing,
    after_success,
)
from node.jobs.dispatching import OPEN, delivery
from node.jobs.engine import Enqueuer

Word = Literal["reached", "down", "nothing"]
"""How an attempt ended: the destination answered, it did not, or there was nothing to deliver."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One task of the delivery queue; `ticket` is 0 unless it was let out of the line."""

    job_id: int
    run: int
    destination: str
    attempt: int
    ticket: int = 0


def known(connection: Connection, destination: str) -> Circuit:
    """Return what is known of a destination."""
    query = select(CircuitRow.__table__).where(CircuitRow.destination == destination)
    row = connection.execute(query).one_or_none()
    return Circuit() if row is None else Circuit(row.state, row.failures, row.round)


def joins_line(connection: Connection, turn: Turn) -> bool:
    """Tell whether a delivery has to wait; then it stands in line when this returns."""
    if known(connection, turn.destination).admits(turn.ticket):
        return False
    _hold(connection, turn.destination)
    circuit = known(connection, turn.destination)
    if circuit.admits(turn.ticket):
        return False
    _join(connection, turn, circuit)
    return True


@dataclass(frozen=True)
class Outages:
    """What the end of an attempt means for the others that go to the same destination."""

    trail: Trail
    enqueuer: Enqueuer
    pace: Pace = PACE

    def note(self, connection: Connection, turn: Turn, word: Word) -> bool:
        """Note how an attempt ended.

        Args:
            connection: The transaction that notes the attempt; it holds the job.
            turn: The task that made it. Where the delivery joins the line, `attempt` is the one
                that it makes next.
            word: How it ended.

        Returns:
            Whether the delivery stands in line now, and so must not be tried again by itself.
        """
        calm = Circuit("closed", 0)
        seen = known(connection, turn.destination)
        if word != "down" and (seen.state, seen.failures) == (calm.state, calm.failures):
            return False  # nearly always: nothing is locked, nothing is written
        _hold(connection, turn.destination)
        circuit = known(connection, turn.destination)
        since = self._comes_back(connection, turn, circuit)
        valid = since is not None
        if word == "nothing" and not valid:
            return False
        order = self._order(connection, turn.destination, circuit, word, valid=valid)
        if order.joins:
            _join(connection, turn, circuit, since)
        self._carry_out(connection, turn.destination, circuit, order)
        return order.joins

    def leave(self, connection: Connection, job_id: int, destination: str) -> bool:
        """Take a delivery out of the line for good unless it is under way; tell whether.

        Who was let out and has not set off hands its ticket on. The caller holds the job.
        """
        _hold(connection, destination)
        begun = select(Delivery.id).where(
            Delivery.job_id == job_id,
            Delivery.destination == destination,
            Delivery.state.in_(sorted(OPEN)),
            Delivery.attempts > InLine.attempt,
        )
        ticket = connection.scalar(
            delete(InLine)
            .where(
                InLine.job_id == job_id,
                InLine.destination == destination,
                or_(InLine.ticket == 0, ~begun.exists()),
            )
            .returning(InLine.ticket)
        )
        if ticket is None:
            return False
        circuit = known(connection, destination)
        if circuit.state != "closed" and ticket == circuit.round:
            order = after_nothing(circuit, _line(connection, destination, circuit))
            self._carry_out(connection, destination, circuit, order)
        return True

    def probe_anew(self, connection: Connection, destination: str) -> None:
        """Begin a new round at once: whoever was let out by the last one has been lost."""
        circuit = known(connection, destination)
        later = Circuit("open", circuit.failures, circuit.round + 1)
        self._carry_out(connection, destination, circuit, Order(later, probe_s=0.0))

    def _comes_back(self, connection: Connection, turn: Turn, circuit: Circuit) -> datetime | None:
        """Take the ticket from a delivery; return since when it has waited, if it was valid."""
        if circuit.state == "closed" or turn.ticket != circuit.round:
            return None
        since: datetime | None = connection.scalar(
            delete(InLine)
            .where(
                InLine.job_id == turn.job_id,
                InLine.destination == turn.destination,
                InLine.ticket == turn.ticket,
            )
            .returning(InLine.since)
        )
        return since

    def _order(
        self, connection: Connection, destination: str, circuit: Circuit, word: Word, *, valid: bool
    ) -> Order:
        if word == "down":
            return after_failure(circuit, valid=valid, pace=self.pace, draw=random())  # noqa: S311 - jitter
        line = _line(connection, destination, circuit)
        if word == "nothing":
            return after_nothing(circuit, line)
        return after_success(circuit, line, valid=valid, pace=self.pace)

    def _carry_out(
        self, connection: Connection, destination: str, before: Circuit, order: Order
    ) -> None:
        after = order.circuit
        if after != before:
            _keep(connection, destination, after)
        if after.round != before.round:  # the tickets of earlier rounds are void
            connection.execute(
                update(InLine).where(InLine.destination == destination).values(ticket=0)
            )
        if {before.state, after.state} == {"closed", "open"}:
            event = "destination-down" if after.state == "open" else "destination-up"
            self._tell(connection, event, destination, after)
        elif before.state == "open" and after.state == "ramp":
            self._tell(connection, "destination-up", destination, after)
        if order.probe_s is not None:
            self._release(connection, destination, after.round, 1, order.probe_s)
        elif order.release:
            self._release(connection, destination, after.round, order.release, 0.0)

    def _release(
        self, connection: Connection, destination: str, ticket: int, number: int, delay_s: float
    ) -> None:
        due = utc_now() + timedelta(seconds=delay_s)
        for row in _first(connection, destination, number):
            connection.execute(
                update(InLine)
                .where(InLine.job_id == row.job_id, InLine.destination == destination)
                .values(ticket=ticket, due_at=due)
            )
            task = delivery(row.job_id, row.run, destination, row.attempt, delay_s, ticket)
            self.enqueuer.enqueue(connection, task)

    def _tell(self, connection: Connection, event: str, destination: str, circuit: Circuit) -> None:
        waiting = _line(connection, destination, circuit).waiting
        detail = {"failures": circuit.failures, "waiting": waiting}
        self.trail.record(connection, "system", event, destination, detail)


def _hold(connection: Connection, destination: str) -> None:
    """Keep others from changing the line; always after the job is held, never before."""
    lock(connection, f"line of {destination}")


def _line(connection: Connection, destination: str, circuit: Circuit) -> Line:
    count = select(func.count()).select_from(InLine).where(InLine.destination == destination)
    every = connection.scalar(count) or 0
    out = connection.scalar(count.where(InLine.ticket == circuit.round)) or 0
    out = 0 if circuit.state == "closed" else out
    return Line(every - out, out)


def _first(connection: Connection, destination: str, number: int) -> list[Row[Any]]:
    query = (
        select(InLine.__table__)
        .where(InLine.destination == destination, InLine.ticket == 0)
        .order_by(InLine.due_at, InLine.job_id)
        .limit(number)
    )
    return list(connection.execute(query))


def _join(
    connection: Connection, turn: Turn, circuit: Circuit, since: datetime | None = None
) -> None:
    """Put a delivery at the end of the line, once; it stands there since it first came."""
    now = utc_now()
    here = (InLine.job_id == turn.job_id, InLine.destination == turn.destination)
    stands = connection.execute(select(InLine.ticket).where(*here)).one_or_none()
    values = {"run": turn.run, "attempt": turn.attempt, "ticket": 0, "due_at": now}
    if stands is None:
        who = {"job_id": turn.job_id, "destination": turn.destination, "since": since or now}
        connection.execute(insert(InLine).values(**who, **values))
    elif stands.ticket != circuit.round:  # else this is an executor that was frozen: it is out
        connection.execute(update(InLine).where(*here).values(values))


def _keep(connection: Connection, destination: str, circuit: Circuit) -> None:
    values = {
        "state": circuit.state,
        "failures": circuit.failures,
        "round": circuit.round,
        "changed_at": utc_now(),
    }
    row = CircuitRow.destination == destination
    if not connection.execute(update(CircuitRow).where(row).values(values)).rowcount:
        connection.execute(insert(CircuitRow).values(destination=destination, **values))
