"""Who a process is among all that share its database, and which lanes its queues have."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text

from node.config import Settings
from node.database import lock_key
from node.jobs.engine import Lane

_LENGTH: Final = 80  # of the lease table
_PREDECESSOR_S: Final = 3.0
_log = logging.getLogger(__name__)


def executor_name(settings: Settings, role: str) -> str:
    """Name this process among the executors of its database.

    The embedded node restarts its processes under the same names, which resume at once; so does a
    node with a `[node] name`. Any other role may run on many machines: its name must be its own,
    and the sweepers of the others see to its tasks when it dies.
    """
    supervised = os.environ.get("CRDL_SUPERVISED")
    if settings.node.name:
        suffix = f"-{supervised}" if supervised else ""
        return f"{role}-{settings.node.name}{suffix}"[:_LENGTH]
    if supervised:
        return f"{role}-{supervised}"
    return f"{role}-{socket.gethostname()}-{os.getpid()}"[:_LENGTH]


@contextmanager
def holding(database: Engine, name: str) -> Iterator[str]:
    """Hold an executor's name as long as this process lives; give the name it works under.

    Two processes of one name would take each other's tasks. Where the name is in use still (two
    processes were given one name, or the one before is frozen and not dead) this one calls itself
    by its process number too: the sweepers see to what is left behind under the plain name.
    """
    with _lock(database, name) as held:
        if held:
            yield name
            return
    number = f"-{os.getpid()}"
    own = name[: _LENGTH - len(number)] + number
    _log.warning("another process works as %s: this one calls itself %s", name, own)
    yield own


@contextmanager
def _lock(database: Engine, name: str) -> Iterator[bool]:
    end = time.monotonic() + _PREDECESSOR_S
    if database.dialect.name == "postgresql":
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            key = {"key": lock_key(f"executor {name}")}
            ask = text("SELECT pg_try_advisory_lock(:key)")
            held = bool(connection.scalar(ask, key))
            while not held and time.monotonic() < end:
                time.sleep(0.2)
                held = bool(connection.scalar(ask, key))
            try:
                yield held
            finally:  # the connection goes back to the pool, and would keep the lock
                if held:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
        return
    with Path(f"{database.url.database}.{name}.lock").open("a") as file:
        held = False
        while not held and time.monotonic() < end:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            if not held:
                time.sleep(0.2)
        yield held


def lanes(settings: Settings) -> tuple[Lane, ...]:
    """Return the lanes of the destinations that have limits."""
    return tuple(
        Lane("delivery", one.name, one.max_concurrent, one.max_per_minute)
        for one in settings.destination
        if one.max_concurrent or one.max_per_minute
    )
