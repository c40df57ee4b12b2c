"""A deadline that is looked at between the stages of a forward pass."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from models.backbone.errors import DeadlineExceededError


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which work on a batch stops.

    A stage that hangs inside a driver call cannot be stopped from within the process: that is for
    whoever watches the worker.

    Attributes:
        limit_s: seconds the batch may take.
        started: the clock's reading when it began.
        clock: a monotonic clock in seconds.
    """

    limit_s: float
    started: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(
        cls, cases: int, case_s: float, clock: Callable[[], float] = time.monotonic
    ) -> "Deadline":
        """The deadline of a batch that starts now: `case_s` seconds for each of its cases."""
        return cls(case_s * cases, clock(), clock)

    def check(self) -> None:
        """Go on, or stop.

        Raises:
            DeadlineExceededError: the time is over.
        """
        spent = self.clock() - self.started
        if spent > self.limit_s:
            raise DeadlineExceededError(
                f"deep features took {spent:.1f} s, the deadline was {self.limit_s:.1f} s"
            )
