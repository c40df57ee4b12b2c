"""The roles as processes: each announces itself, works until SIGTERM, drains and ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from node.config import Settings
from node.service.compose import Foundation, lay_foundation
from node.service.supervisor import die_with_parent
from node.tls import ServerTls


def run(role: str, settings: Settings) -> None:
    """Run one role, a module of this package, until SIGTERM or SIGINT.

    A process imports only what its role needs.
    """
    if os.environ.get("CRDL_SUPERVISED"):
        die_with_parent()
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGHUP, _renew_certificates)
    foundation = lay_foundation(settings, role)
    try:
        with _recorded(foundation, role):
            import_module(f"{__name__}.{role}").run(foundation, stop)
    finally:
        foundation.close()


def _renew_certificates(number: int, frame: FrameType | None) -> None:
    """Look at the certificates' files: what an administrator expects of SIGHUP."""
    del number, frame
    threading.Thread(target=ServerTls.reload_all, daemon=True).start()


@contextmanager
def _recorded(foundation: Foundation, role: str) -> Iterator[None]:
    """Write start and stop of a process into the ledger (PS3.15 section A.5.3.1)."""

    def note(event: str) -> None:
        with foundation.database.begin() as connection:
            foundation.trail.record(connection, "system", event, role, {"pid": os.getpid()})

    note("started")
    yield
    note("stopped")
