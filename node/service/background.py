"""What a role does beside its work, again and again: a pass, a pause, longer ones if it fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LONGEST_PAUSE_S: Final = 300.0
_STOP_S: Final = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Routine:
    """A pass that is made again and again.

    Attributes:
        name: Of the thread, and in the log.
        once: One pass; raises an exception if it has to be made again.
        every_s: Seconds from a pass to the next; after failures twice as long each time.
        expected: What a pass may raise because somebody else is not there: one line in the log.
        is_first_at_once: The first pass waits for nothing.
        is_last_made: Another pass is made when it is stopped.
    """

    name: str
    once: Callable[[], object]
    every_s: float
    expected: tuple[type[Exception], ...] = ()
    is_first_at_once: bool = False
    is_last_made: bool = False

    def start(self) -> Callable[[], None]:
        """Begin in a thread of its own; return what stops it and waits for the end of its pass."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,), name=self.name, daemon=True)
        thread.start()

        def finish() -> None:
            stop.set()
            thread.join(_STOP_S)

        return finish

    def _run(self, stop: threading.Event) -> None:
        pause = 0.0 if self.is_first_at_once else self.every_s
        while True:
            is_over = stop.wait(pause)
            if is_over and not self.is_last_made:
                return
            longer = min(2 * max(pause, self.every_s), LONGEST_PAUSE_S)
            pause = self.every_s if self._passes() else longer
            if is_over:
                return

    def _passes(self) -> bool:
        try:
            self.once()
        except self.expected as error:
            _log.warning("%s: %s", self.name, error)
            return False
        except Exception:  # noqa: BLE001 - the thread's boundary: the next pass tries again
            _log.exception("%s: a pass failed", self.name)
            return False
        return True
