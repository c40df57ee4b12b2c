"""The matrix itself: who is killed and when, and what it cost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from node.bench.harness import HarnessError
from node.bench.kill.judge import Verdict, judge
from node.bench.kill.modality import Modality
from node.bench.kill.progress import Progress
from node.bench.kill.site import Site, a_site
from node.bench.kill.studies import studies
from node.boundaries import boundaries

#: Where the whole node dies as well as the process that passes.
_TREE_AT: Final = ("kept", "committed", "report-stored", "report-committed", "first-sent", "proven")
_RANDOM: Final = ("receive", "work", "deliver", "tree", "pacs")
_RANDOM_ON_POSTGRESQL: Final = ("database", "database-immediate")
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
_COMES_BY_S: Final = 60.0
_BACKLOG: Final = 4

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: who, when, and what happened to all that was acknowledged meanwhile."""

    killed: str
    when: str
    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    without_outcome: int = 0
    duplicated: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A run: its rows, the sum of them, and the verdict in full."""

    database: str
    rows: tuple[Row, ...]
    total: Row
    verdict: Verdict
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "database": self.database,
            "rows": [row.to_json() for row in self.rows],
            "total": self.total.to_json(),
            "lost": sorted(self.verdict.lost),
            "without_outcome": dict(self.verdict.unanswered),
            "duplicated": sorted(self.verdict.duplicated),
            "strangers": sorted(self.verdict.strangers),
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class Act:
    """One way to kill: at a boundary, or ("" there) at random."""

    victim: str
    boundary: str = ""

    @property
    def words(self) -> tuple[str, str]:
        """Who and when, for people."""
        if not self.boundary:
            return _WORDS[self.victim], "at random"
        return _WORDS[self.victim], f"{self.boundary}: {boundaries()[self.boundary]}"


@dataclass
class Tally:
    """How often one way was tried, and when."""

    way: Act
    kills: int = 0
    windows: list[tuple[float, float]] = field(default_factory=list)

    def row(self, acknowledged: Mapping[str, float], verdict: Verdict) -> Row:
        """Return its row: what was acknowledged while it took its turns."""
        meanwhile = {
            uid
            for uid, moment in acknowledged.items()
            if any(start <= moment <= end for start, end in self.windows)
        }
        killed, when = self.way.words
        return Row(
            killed,
            when,
            self.kills,
            len(meanwhile),
            len(meanwhile & verdict.lost),
            len(meanwhile & verdict.unanswered.keys()),
            len(meanwhile & verdict.duplicated),
        )


def acts(database: str) -> tuple[Act, ...]:
    """Return every way to kill on a database, in the order of the table."""
    at_random = [*_RANDOM, *(_RANDOM_ON_POSTGRESQL if database == "postgresql" else ())]
    return (
        *(Act("self", name) for name in boundaries()),
        *(Act("tree", name) for name in _TREE_AT),
        *(Act(victim) for victim in at_random),
    )


def run_matrix(folder: Path, database: str, rounds: int, seed: int, say: Say) -> Matrix:
    """Kill in every way, `rounds` times each, while a modality sends.

    Args:
        folder: An empty folder for all that is written.
        database: `sqlite` or `postgresql`.
        rounds: How often each way takes its turn; they are mixed.
        seed: Of the moments of random kills.
        say: Told in one line what happens.

    Raises:
        HarnessError: If a part does not come back after a kill.
    """
    began = time.monotonic()
    tallies = [Tally(way) for way in acts(database)]
    moments = random.Random(seed)  # noqa: S311 - moments, no secret
    with a_site(folder, database) as site:
        progress = Progress(site.node.database())
        modality = Modality(
            studies(folder / "studies"),
            site.address,
            lambda sent: sent - progress.ended() < _BACKLOG,
        )
        modality.start()
        for tally in _turns(tallies, rounds, moments):
            began_at = time.monotonic()
            done = _carry_out(site, tally.way, moments)
            site.heal()
            tally.kills += done
            tally.windows.append((began_at, time.monotonic()))
            total = sum(one.kills for one in tallies)
            outcome = "" if done else ", but nobody came by"
            say(f"{total} kills: {', '.join(tally.way.words)}{outcome}")
        if not modality.stop():
            raise HarnessError(f"the modality never got through: {site.node.log()}")
        progress.settle(len(modality.sent))
        segs = {study.seg_uid for study in modality.sent}
        acknowledged = modality.acknowledged
        verdict = judge(progress.database, site.blobs, site.archive, acknowledged, segs)
    rows = tuple(tally.row(acknowledged, verdict) for tally in tallies)
    total_row = Row(
        "all",
        "",
        sum(row.kills for row in rows),
        len(acknowledged),
        len(verdict.lost),
        len(verdict.unanswered),
        len(verdict.duplicated) + len(verdict.strangers),
    )
    return Matrix(database, rows, total_row, verdict, time.monotonic() - began)


def _turns(tallies: list[Tally], rounds: int, chance: random.Random) -> Iterator[Tally]:
    """Mix each round: a role that dies several times in a row is started again ever more slowly."""
    for _ in range(rounds):
        yield from chance.sample(tallies, len(tallies))


def _carry_out(site: Site, way: Act, moments: random.Random) -> int:
    """Kill once; return 0 where nobody came by the boundary."""
    if not way.boundary:
        time.sleep(moments.uniform(0.2, 3.0))
        done = site.kill(way.victim)
        time.sleep(moments.uniform(0.2, 2.0) if way.victim in {"pacs", "database"} else 0.0)
        return done
    site.arm(way.boundary, way.victim)
    deadline = time.monotonic() + _COMES_BY_S
    while site.armed(way.boundary) and time.monotonic() < deadline:
        time.sleep(0.05)
    if site.disarm(way.boundary):
        return 0
    time.sleep(0.2)  # until the kernel has carried it out
    if way.victim == "tree":
        site.node.process.wait(20)
    return 1
