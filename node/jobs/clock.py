"""The wall clock is set now and then: by a person, by a time server, after a battery has died.

What is due at a time of day then comes too early or not at all. So the wall clock is compared with
the clock that nobody sets; a difference is a jump.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: Seconds by which the two clocks may drift apart between two looks: slewing is no jump.
TOLERANCE_S: Final = 5.0


class ClockWatch:
    """Compares the wall clock with the steady one.

    Args:
        wall: Seconds of the wall clock.
        steady: Seconds of the clock that nobody sets.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._steady = wall, steady
        self._last = (wall(), steady())
        self._jumped_at: float | None = None

    def jump(self) -> float:
        """Return the seconds by which the wall clock was set since the last look.

        Forward is positive; 0 where it was not set.
        """
        now = (self._wall(), self._steady())
        jump = (now[0] - self._last[0]) - (now[1] - self._last[1])
        self._last = now
        if abs(jump) <= TOLERANCE_S:
            return 0.0
        self._jumped_at = now[1]
        return jump

    def trusted(self, after_s: float) -> bool:
        """Tell whether the wall clock was not set, as far as seen, in the last seconds."""
        self.jump()
        return self._jumped_at is None or self._steady() - self._jumped_at >= after_s
