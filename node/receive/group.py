"""Several threads that wait for the same expensive thing share it: group commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_AT_ONCE: Final = 64


class _Ticket(Generic[Item, Result]):
    def __init__(self, key: Hashable, item: Item) -> None:
        self.key = key
        self.item = item
        self.outcome: Result | Exception | None = None


class Group(Generic[Item, Result]):
    """Calls `work` with all that has gathered while the last call was running; thread-safe.

    One of the waiting threads does the work for all, so that a single one is not delayed. Two
    items of the same key are never in one call: the later one sees what became of the earlier.

    Args:
        work: Returns a result or an exception for each item, in order. If it raises, each item
            is tried by itself, so that nobody suffers from another's.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result | Exception]]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._waiting: list[_Ticket[Item, Result]] = []
        self._busy = False

    def do(self, key: Hashable, item: Item) -> Result:
        """Have the work done for one item; return its result or raise its exception."""
        ticket: _Ticket[Item, Result] = _Ticket(key, item)
        with self._changed:
            self._waiting.append(ticket)
            while self._busy and ticket.outcome is None:
                self._changed.wait()
            batch = [] if ticket.outcome is not None else self._take(ticket)
            self._busy = self._busy or bool(batch)
        if batch:
            try:
                self._serve(batch)
            finally:
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
        if isinstance(ticket.outcome, Exception):
            raise ticket.outcome
        assert ticket.outcome is not None  # noqa: S101 - served, or it would be waiting
        return ticket.outcome

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
