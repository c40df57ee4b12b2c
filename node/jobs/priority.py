"""How urgent a job is: a word for people, a number for the queue."""

from __future__ import annotations

from typing import Final, Literal, get_args

Priority = Literal["stat", "high", "routine", "low"]
PRIORITIES: Final[tuple[str, ...]] = get_args(Priority)
ROUTINE: Final = "routine"
# The queue engine takes the smallest number first; between two words there is room to rank jobs.
_STEP: Final = 1_000_000


def rank(priority: str) -> int:
    """Return the number of a priority, smaller is sooner; an unknown word is routine."""
    known = priority if priority in PRIORITIES else ROUTINE
    return _STEP * (PRIORITIES.index(known) + 1)
