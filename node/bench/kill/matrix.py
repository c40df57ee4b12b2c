"""The matrix itself: who is killed and when, and what it cost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from node.bench.harness import HarnessError
from node.bench.kill.acts import Act, acts
from node.bench.kill.executioner import executions
from node.bench.kill.judge import Verdict, judge
from node.bench.kill.modality import Modality
from node.bench.kill.progress import Progress
from node.bench.kill.site import a_site
from node.bench.kill.studies import studies

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


def run_matrix(
    folder: Path, database: str, rounds: int, seed: int, say: Say, *, minutes: float
) -> Matrix:
    """Kill in every way, `rounds` times each, while a modality sends.

    Args:
        folder: An empty folder for all that is written.
        database: `sqlite` or `postgresql`.
        rounds: How often each way is carried out, if there is time.
        seed: Of the order, and of the moments of random kills.
        say: Told in one line what happens.
        minutes: After which nobody is killed any more; then all that was sent is settled.

    Raises:
        HarnessError: If a part does not come back after a kill.
    """
    began = time.monotonic()
    tallies = {way: Tally(way) for way in acts(database)}
    with a_site(folder, database) as site:
        progress = Progress(site.node.database())
        modality = Modality(
            studies(folder / "studies"),
            site.address,
            lambda sent: sent - progress.ended() < _BACKLOG,
        )
        modality.start()
        chance = random.Random(seed)  # noqa: S311 - no secret
        for done in executions(site, tuple(tallies), rounds, chance, 60 * minutes):
            tally = tallies[done.way]
            tally.kills += done.kills
            tally.windows.append((done.began, done.ended))
            total = sum(one.kills for one in tallies.values())
            said = "" if done.kills else ", but nobody came by"
            say(f"{total} kills: {', '.join(done.way.words)}{said}")
        if not modality.stop():
            raise HarnessError(f"the modality never got through: {site.node.log()}")
        progress.settle(len(modality.sent))
        segs = {study.seg_uid for study in modality.sent}
        acknowledged = modality.acknowledged
        verdict = judge(progress.database, site.blobs, site.archive, acknowledged, segs)
    rows = tuple(tally.row(acknowledged, verdict) for tally in tallies.values())
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
