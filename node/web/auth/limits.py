"""How often somebody may ask: a bucket of permits that fills steadily (a token bucket)."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Limiter:
    """Permits by key; a key that has not been seen for long is forgotten.

    Attributes:
        per_minute: How many permits a key gets in a minute; 0 is no limit.
        burst: How many it may have saved.
        clock: Seconds, only ever forward.
        keys: How many keys are remembered; the least recent goes first.
    """

    per_minute: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    keys: int = 10_000
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.per_minute < 0 or self.burst < 1:
            raise ValueError("a limit is not negative, and lets one request pass")

    def wait_s(self, key: str) -> float:
        """Take a permit; return 0, or the seconds until there is one."""
        if self.per_minute == 0:
            return 0.0
        with self._guard:
            now = self.clock()
            permits, since = self._buckets.pop(key, (self.burst, now))
            permits = min(self.burst, permits + (now - since) * self.per_minute / 60)
            wait = 0.0 if permits >= 1 else (1 - permits) * 60 / self.per_minute
            self._buckets[key] = (permits - 1 if permits >= 1 else permits, now)
            while len(self._buckets) > self.keys:
                self._buckets.popitem(last=False)
            return wait
