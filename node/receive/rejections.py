"""The record of who was turned away: one row a peer and reason at once, then a count a minute.

A thread of its own writes, so that neither the accepting thread nor an attacker waits for the
database or makes others wait.
"""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from node.receive.associations import AssociationLog
from node.receive.coalescing import Coalescer
from node.receive.limits import peer_of

_LOG = logging.getLogger(__name__)
_WAITING: Final = 1000
_LOOK_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A connection or an association that was not let in.

    Attributes:
        kind: What counts as the same reason, without anything that the peer chose.
        reason: For a person.
    """

    kind: str
    reason: str
    address: str
    calling_ae: str = ""
    called_ae: str = ""


class RejectionLog:
    """Writes rows of rejected associations and connections; `start`, then `stop`."""

    def __init__(self, associations: AssociationLog) -> None:
        self._associations = associations
        self._coalescer: Coalescer[tuple[str, str]] = Coalescer(("many peers", "several reasons"))
        self._queue: queue.Queue[TurnedAway | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="rejections", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is open and end."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def note(self, turned: TurnedAway) -> None:
        """Note a rejection; returns at once."""
        if not self._coalescer.note((peer_of(turned.address), turned.kind)):
            return
        _LOG.warning("rejected %s: %s", turned.address, turned.reason)
        try:
            self._queue.put_nowait(turned)
        except queue.Full:
            _LOG.error("rejections come faster than they can be recorded")

    def _run(self) -> None:
        while True:
            try:
                turned = self._queue.get(timeout=_LOOK_S)
            except queue.Empty:
                self._write_counts()
                continue
            if turned is None:
                self._write_counts(everything=True)
                return
            self._write(turned)
            self._write_counts()

    def _write_counts(self, *, everything: bool = False) -> None:
        for (peer, kind), count in self._coalescer.due(everything=everything):
            _LOG.warning("rejected %s %d more times: %s", peer, count, kind)
            self._write(TurnedAway(kind, kind, peer), count)

    def _write(self, turned: TurnedAway, more: int = 0) -> None:
        try:
            self._associations.rejected(
                turned.calling_ae, turned.called_ae, turned.address, turned.reason, more
            )
        except SQLAlchemyError as error:
            _LOG.error("a rejection could not be recorded: %s", type(error).__name__)
