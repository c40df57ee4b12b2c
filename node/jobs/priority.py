"""How urgent a job is: a word for people, a number for the queue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

Priority = Literal["stat", "high", "routine", "low"]
PRIORITIES: Final[tuple[str, ...]] = get_args(Priority)
ROUTINE: Final = "routine"
# Requested Procedure Priority (0040,1003), PS3.3 section C.4.11, and the priority of a unified
# procedure step (0074,1200), section C.30.1.
_REQUESTED: Final = {
    "STAT": "stat",
    "HIGH": "high",
    "ROUTINE": "routine",
    "MEDIUM": "routine",
    "LOW": "low",
}
# The queue engine takes the smallest number first and counts to 2**31 - 1; between two words there
# is room for the turns of the senders.
_STEP: Final = 1 << 28


def of_request(words: Iterable[object]) -> str:
    """Return the most urgent priority that was requested, "" where nobody requested one."""
    known = {_REQUESTED[word] for word in words if isinstance(word, str) and word in _REQUESTED}
    return min(known, key=PRIORITIES.index, default="")


def rank(priority: str, turn: int = 0) -> int:
    """Return a job's place in the queue, smaller is sooner; an unknown word is routine.

    Args:
        priority: One of `PRIORITIES`.
        turn: Among jobs of one priority, see `node.jobs.fairness`.
    """
    known = priority if priority in PRIORITIES else ROUTINE
    return _STEP * (PRIORITIES.index(known) + 1) + min(max(turn, 0), _STEP - 1)
