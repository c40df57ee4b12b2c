"""The ways to kill: at every stage boundary, and at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.boundaries import boundaries, rooms

#: Where the whole node dies as well as the process that passes.
_TREE_AT: Final = ("kept", "committed", "report-stored", "report-committed", "first-sent", "proven")
_RANDOM: Final = ("receive", "work", "deliver", "tree", "pacs")
_RANDOM_ON_POSTGRESQL: Final = ("database", "database-immediate")
_LINES: Final = {"receive": "receive", "pair": "work", "assess": "work", "deliver": "deliver"}
_WORDS: Final = {
    "self": "the process at",
    "receive": "receiver",
    "work": "worker",
    "deliver": "sender",
    "tree": "whole tree",
    "pacs": "PACS (Orthanc)",
    "database": "PostgreSQL, SIGKILL",
    "database-immediate": "PostgreSQL, immediate shutdown",
}


@dataclass(frozen=True, slots=True)
class Act:
    """One way to kill: at a boundary, or ("" there) at random."""

    victim: str
    boundary: str = ""

    @property
    def line(self) -> str:
        """Which deaths wait for each other: one process at a time dies on its way through."""
        if not self.boundary:
            return "random"
        return _LINES[rooms()[self.boundary]]

    def times(self, rounds: int) -> int:
        """Return how often it is carried out: what starts slowly dies less often."""
        worker = self.victim == "work" or (self.victim == "self" and self.line == "work")
        return max(1, rounds // 4 if self.victim == "tree" else rounds // 2 if worker else rounds)

    @property
    def words(self) -> tuple[str, str]:
        """Who and when, for people."""
        if not self.boundary:
            return _WORDS[self.victim], "at random"
        return _WORDS[self.victim], f"{self.boundary}: {boundaries()[self.boundary]}"


def acts(database: str) -> tuple[Act, ...]:
    """Return every way to kill on a database, in the order of the table."""
    at_random = [*_RANDOM, *(_RANDOM_ON_POSTGRESQL if database == "postgresql" else ())]
    return (
        *(Act("self", name) for name in boundaries()),
        *(Act("tree", name) for name in _TREE_AT),
        *(Act(victim) for victim in at_random),
    )
