"""Facts that an attacker could repeat without end: the first are noted, the rest are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
WINDOW_S: Final = 60.0
MOST_KEYS: Final = 256


@dataclass(slots=True)
class _Window:
    since: float
    noted: int = 0
    counted: int = 0


class Coalescer(Generic[Key]):
    """Says which facts to note at once; the others are given back as counts; thread-safe.

    In a window of a minute the first `at_once` facts of a key are noted. Beyond `MOST_KEYS` keys
    in a window all the others share `rest`, so that the number of notes is bounded whatever
    comes.
    """

    def __init__(
        self, rest: Key, at_once: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest = rest
        self._at_once = at_once
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[Key, _Window] = {}

    def note(self, key: Key) -> bool:
        """Take a fact; True if it is to be noted now."""
        with self._lock:
            if key not in self._windows and len(self._windows) >= MOST_KEYS:
                key = self._rest
            window = self._windows.setdefault(key, _Window(self._clock()))
            if window.noted < self._at_once:
                window.noted += 1
                return True
            window.counted += 1
            return False

    def due(self, *, everything: bool = False) -> list[tuple[Key, int]]:
        """Return how many facts of a key were not noted, for each window that is over."""
        with self._lock:
            before = self._clock() - WINDOW_S
            over = [k for k, w in self._windows.items() if everything or w.since <= before]
            counts = [(key, self._windows.pop(key).counted) for key in over]
        return [(key, count) for key, count in counts if count]
