"""Refusals in the ledger: each kind once a minute with a count, so that a flood fills no disk."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Engine

from node.audit.trail import Trail
from node.web.auth.identity import Person

_PAUSE_S: Final = 60.0
_KINDS: Final = 1000  # how many kinds are remembered at once
_ROWS_A_MINUTE: Final = 600  # of all kinds: addresses can be invented too
_SUBJECT: Final = 80
Kind = tuple[str, str, str, str, int]


@dataclass
class Refusals:
    """Keeps the record of what was refused; `clock` gives seconds."""

    database: Engine
    trail: Trail
    clock: Callable[[], float] = time.monotonic
    _told: OrderedDict[Kind, tuple[float, int]] = field(default_factory=OrderedDict)
    _minute: tuple[float, int] = (0.0, 0)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def note(
        self, person: Person | None, address: str, asked: tuple[str, str], status: int, reason: str
    ) -> None:
        """Record a refusal unless the same one was recorded within the last minute.

        Args:
            person: Who was refused; None if unknown.
            address: Where from.
            asked: Method and route.
            status: The HTTP status that was answered.
            reason: One line.
        """
        actor = person.actor if person else self.trail.actor
        method, route = asked
        repeated = self._due((actor, address, method, route, status))
        if repeated is None:
            return
        detail = {
            "address": address,
            "method": method,
            "status": status,
            "reason": reason,
            "repeated": repeated,
        }
        trail = replace(self.trail, actor=actor)
        with self.database.begin() as connection:
            trail.record(connection, "access", "refused", route[:_SUBJECT], detail)

    def _due(self, kind: Kind) -> int | None:
        """Return how many like it were not recorded, None if this one is not either."""
        with self._guard:
            now = self.clock()
            since, count = self._told.pop(kind, (-_PAUSE_S, 0))
            start, rows = self._minute
            if now - start >= _PAUSE_S:
                start, rows = now, 0
            due = now - since >= _PAUSE_S and rows < _ROWS_A_MINUTE
            self._told[kind] = (now, 0) if due else (since, count + 1)
            self._minute = (start, rows + due)
            while len(self._told) > _KINDS:
                self._told.popitem(last=False)
            return count if due else None
