"""The retention in a running node, also on a disk that is full.

To delete a file a row must be written first, and that takes room. So the node holds a reserve: a
file of a few MiB beside the database, given up where a deletion finds the disk full, and taken
again when there is room.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from node.database import utc_now
from node.jobs.clock import ClockWatch
from node.jobs.retention import Keeper, Terms
from node.jobs.retention_size import make_room
from node.service.compose import Foundation

_EVERY_S: Final = 3600.0
_EVERY_FULL_S: Final = 60.0
_STOP_S: Final = 10.0
_DISTRUST_S: Final = 86_400.0
_RESERVE_BYTES: Final = 16 << 20
_REMEMBERED: Final = timedelta(days=1)
_log = logging.getLogger(__name__)


class Reserve:
    """Room on the disk that only deletions may use."""

    def __init__(self, path: Path, size: int = _RESERVE_BYTES) -> None:
        self._path = path
        self._size = size

    @property
    def held(self) -> bool:
        """Whether the room is taken."""
        return self._path.is_file() and self._path.stat().st_size >= self._size

    def take(self) -> bool:
        """Take the room unless it is taken; tell whether it is."""
        if self.held:
            return True
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError:  # the disk is still full
            self.give_up()
            return False
        return True

    def give_up(self) -> None:
        """Let others have the room."""
        self._path.unlink(missing_ok=True)


def keeper(foundation: Foundation) -> Keeper:
    """Return what executes `[retention]`."""
    days = foundation.settings.retention
    terms = Terms(days.unreferenced_days, days.proven_days)
    return Keeper(foundation.database, foundation.trail, foundation.blobs, terms)


def keep_house(
    foundation: Foundation, forget_finished: Callable[[datetime], int] | None = None
) -> Callable[[], None]:
    """Sweep orphans at once and let expire what is due every hour, in the background.

    Args:
        foundation: The node's.
        forget_finished: Drops some of the engine's rows of tasks that ended before a time; they
            are worth nothing once the tasks are done, and a queue over them would slow down.

    Returns:
        What stops it, at the latest after the row that it is at.
    """
    stopped = threading.Event()
    reserve = Reserve(foundation.settings.node.data_dir / "reserve")
    thread = threading.Thread(
        target=_run,
        args=(
            keeper(foundation),
            reserve,
            stopped,
            forget_finished,
            foundation.settings.retention.maximum_bytes,
        ),
        name="retention",
        daemon=True,
    )
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join(_STOP_S)

    return stop


def _run(
    house: Keeper,
    reserve: Reserve,
    stopped: threading.Event,
    forget_finished: Callable[[datetime], int] | None,
    maximum_bytes: int,
) -> None:
    wait_s, clock = 0.0, ClockWatch()
    while not stopped.wait(wait_s):
        if not clock.trusted(_DISTRUST_S):
            # A clock that was set ahead by years makes everything old; deleting is for good.
            _log.warning("the clock was set: nothing expires for a day")
            wait_s = _EVERY_S
            continue
        if forget_finished is not None:
            _forget(forget_finished, stopped)
        full = not clean(house, reserve, maximum_bytes=maximum_bytes)
        wait_s = _EVERY_FULL_S if full else _EVERY_S


def _forget(forget_finished: Callable[[datetime], int], stopped: threading.Event) -> None:
    try:
        before = utc_now() - _REMEMBERED
        while not stopped.is_set() and forget_finished(before):
            pass
    except SQLAlchemyError as error:
        _log.warning("finished tasks are not forgotten yet: %s", type(error).__name__)


def clean(
    house: Keeper, reserve: Reserve, now: datetime | None = None, maximum_bytes: int = 0
) -> bool:
    """Sweep and expire once; tell whether it went well and the reserve is held."""
    reserve.take()
    try:
        _clean(house, now, maximum_bytes)
    except (SQLAlchemyError, OSError) as error:
        # Its text would show the row, and a row names the patient.
        _log.warning("retention gives up the reserve and tries again: %s", type(error).__name__)
        reserve.give_up()
        try:
            _clean(house, now, maximum_bytes)
        except (SQLAlchemyError, OSError) as again:
            _log.error("retention did not run: %s", type(again).__name__)
            return False
    return reserve.take()


def _clean(house: Keeper, now: datetime | None, maximum_bytes: int) -> None:
    house.sweep(now)
    for expired in (house.expire(now), make_room(house, maximum_bytes, now)):
        if expired.jobs or expired.instances:
            _log.info("%d reports and %d instances have expired", expired.jobs, expired.instances)
