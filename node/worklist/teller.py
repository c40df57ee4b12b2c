"""Bringing events to subscribers by N-EVENT-REPORT (PS3.4 section CC.2.4), in the background."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from pynetdicom.association import Association

from node.errors import ConfigurationError, CrdlError
from node.worklist.events import Event
from node.worklist.worklist import PUSH

EVENT: Final = "1.2.840.10008.5.1.4.34.6.4"
_MOST_WAITING: Final = 10_000
_WAIT_S: Final = 10.0
Dial = Callable[[str], Association]
_log = logging.getLogger(__name__)


def addresses(lines: tuple[str, ...]) -> dict[str, tuple[str, int]]:
    """Read `AE@host:port` entries.

    Raises:
        ConfigurationError: If one is none.
    """
    found = {}
    for line in lines:
        ae_title, at, rest = line.partition("@")
        host, colon, port = rest.rpartition(":")
        if not (ae_title and at and host and colon and port.isdigit()):
            raise ConfigurationError(f"[worklist] subscribers: {line!r} is not AE@host:port")
        found[ae_title.strip()] = (host, int(port))
    return found


class Teller:
    """Sends events one after another; one that cannot be sent is logged and let go.

    A subscriber that was away asks for the present state, as PS3.4 section CC.2.4 expects of it.
    `dial` opens an association with an AE title for `EVENT`, in which we are the SCP.
    """

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._waiting: queue.Queue[tuple[str, Event] | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="ups-events", daemon=True)
        self._thread.start()

    def __call__(self, ae_title: str, event: Event) -> None:
        """Take an event; it is sent soon."""
        try:
            self._waiting.put_nowait((ae_title, event))
        except queue.Full:
            _log.warning("too many events wait: one for %s was let go", ae_title)

    def close(self) -> None:
        """Send what waits, for a while, and stop."""
        self._waiting.put(None)
        self._thread.join(_WAIT_S)

    def _run(self) -> None:
        while (one := self._waiting.get()) is not None:
            try:
                self._send(*one)
            except CrdlError as error:
                _log.warning("an event for %s was not sent: %s", one[0], error)
            except Exception:  # noqa: BLE001 - the boundary of a thread: the others are told
                _log.exception("an event for %s was not sent", one[0])

    def _send(self, ae_title: str, event: Event) -> None:
        association = self._dial(ae_title)
        status, _ = association.send_n_event_report(
            event.information, event.type_id, PUSH, event.workitem_uid, meta_uid=EVENT
        )
        if association.is_established:
            association.release()
        if status.get("Status") != 0:
            _log.warning("%s did not take an event", ae_title)
