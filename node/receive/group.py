"""Several threads that wait for the same expensive thing share it: group commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_AT_ONCE: Final = 64
GATHERING_S: Final = 0.002
"""How long one who serves waits for those who are about to come: less than a commit takes."""


class _Ticket(Generic[Item, Result]):
    """One who waits: until it is served or has to serve.

    Attributes:
        turn: Held until then; nobody else is woken meanwhile.
    """

    def __init__(self, key: Hashable, item: Item) -> None:
        self.key = key
        self.item = item
        self.outcome: Result | Exception | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class Group(Generic[Item, Result]):
    """Calls `work` with all that has gathered while the last call was running; thread-safe.

    One of the waiting threads does the work for all, so that a single one is not delayed. Two
    items of the same key are never in one call: the later one sees what became of the earlier.

    Args:
        work: Returns a result or an exception for each item, in order. If it raises, each item
            is tried by itself, so that nobody suffers from another's.
        expects_more: Whether others are likely to come within a moment; then they are waited for.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        expects_more: Callable[[], bool] = lambda: False,
    ) -> None:
        self._work = work
        self._expects_more = expects_more
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[Item, Result]] = []
        self._busy = False

    def do(self, key: Hashable, item: Item) -> Result:
        """Have the work done for one item; return its result or raise its exception."""
        ticket: _Ticket[Item, Result] = _Ticket(key, item)
        with self._lock:
            self._waiting.append(ticket)
            leads, self._busy = not self._busy, True
        if not leads:
            ticket.turn.acquire()
        if ticket.outcome is None:
            self._lead(ticket)
        if isinstance(ticket.outcome, Exception):
            raise ticket.outcome
        assert ticket.outcome is not None  # noqa: S101 - served
        return ticket.outcome

    def _lead(self, own: _Ticket[Item, Result]) -> None:
        """Serve those who wait, and name who serves next."""
        if self._expects_more():
            time.sleep(GATHERING_S)
        with self._lock:
            batch = self._take(own)
        try:
            self._serve(batch)
        finally:
            with self._lock:
                following = self._waiting[:1]
                self._busy = bool(following)
            for ticket in (*batch[1:], *following):
                ticket.turn.release()

    def _take(self, own: _Ticket[Item, Result]) -> list[_Ticket[Item, Result]]:
        """Take what waits, one of a key; the own one is among them."""
        batch, keys, left = [own], {own.key}, []
        for ticket in self._waiting:
            if ticket is own:
                continue
            if ticket.key in keys or len(batch) >= MOST_AT_ONCE:
                left.append(ticket)
            else:
                keys.add(ticket.key)
                batch.append(ticket)
        self._waiting = left
        return batch

    def _serve(self, batch: Sequence[_Ticket[Item, Result]]) -> None:
        try:
            outcomes = self._work([ticket.item for ticket in batch])
        except Exception as error:  # noqa: BLE001 - whoever it belongs to gets it
            if len(batch) == 1:
                batch[0].outcome = error
                return
            for ticket in batch:
                self._serve([ticket])
            return
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.outcome = outcome
