"""The tasks of the pairing queue: instances that were acknowledged together, by their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from node.jobs.engine import Task

ANEW: Final = "anew"
"""Argument of a pairing task, beside the row of a SEG: a person has read one of its lesions."""


def arrivals(instance_ids: Sequence[int]) -> Task:
    """Return the task that pairs instances acknowledged in one transaction."""
    return Task("pairing", f"pair:{instance_ids[0]}", tuple(instance_ids))


class PairOne(Protocol):
    """Pairs one instance."""

    def __call__(self, instance_id: int, *, anew: bool) -> None:
        """Pair what an acknowledged instance makes possible, in a transaction of its own."""


def pair_all(pair: PairOne, arguments: Sequence[int | str]) -> None:
    """Pair the instances of a task, each by itself.

    One that fails does not keep the others waiting. The engine tries the task again, with all of
    them, which changes nothing for those that were paired.

    Raises:
        Exception: The first failure, once all have had their turn.
    """
    failures = []
    for instance_id in arguments:
        if isinstance(instance_id, int):
            try:
                pair(instance_id, anew=ANEW in arguments)
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)
    if failures:
        raise failures[0]
