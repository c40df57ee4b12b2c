"""Waiting for what comes about by itself: one place for how patient the tests are.

A machine that runs other work beside the tests may be slow; nobody waits for what comes at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which something is taken never to happen.
PATIENCE_S = 60.0
_LOOK_S = 0.02


def wait_for(
    holds: Callable[[], object],
    failure: Callable[[], str] = lambda: "it did not come about",
    patience_s: float = PATIENCE_S,
    every_s: float = _LOOK_S,
) -> None:
    """Wait until something holds.

    Args:
        holds: Looked at until it is true.
        failure: Words for when it never is.
        patience_s: How long to wait at most.
        every_s: Seconds between two looks.

    Raises:
        AssertionError: If it does not hold in time.
    """
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, failure()
        time.sleep(every_s)
