"""Several workers and senders over one PostgreSQL: some freeze, some die, others take over.

A frozen process (SIGSTOP) is the worse death: it holds what it holds, and comes back in the middle
of a task that a successor has long finished.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.bench.harness import (
    HarnessError,
    Orthanc,
    RunningNode,
    as_destination,
    orthanc,
    postgres,
    start,
    write_config,
)
from node.bench.kill.judge import Verdict, judge
from node.bench.kill.modality import Modality
from node.bench.kill.progress import Progress
from node.bench.kill.studies import studies
from node.blobs import BlobStore
from node.jobs.recovery import TTL_S

WORKERS: Final = 3
SENDERS: Final = 2
_BACKLOG: Final = 8
_FROZEN_S: Final = 1.3 * TTL_S  # long enough to be taken for dead

Say = Callable[[str], None]


@dataclass
class Fleet:
    """One receiver, three workers and two senders, each a process of its own."""

    config: Path
    archive: Orthanc
    receiver: RunningNode
    workers: list[RunningNode]
    senders: list[RunningNode]
    frozen: list[RunningNode] = field(default_factory=list)

    def freeze(self, who: list[RunningNode], chance: random.Random) -> None:
        """Stop one of a kind in whatever it does."""
        victim = chance.choice([one for one in who if one not in self.frozen])
        victim.process.send_signal(signal.SIGSTOP)
        self.frozen.append(victim)

    def thaw(self) -> None:
        """Let the frozen go on."""
        for one in self.frozen:
            one.process.send_signal(signal.SIGCONT)
        self.frozen.clear()

    def replace(self, who: list[RunningNode], role: str, chance: random.Random) -> None:
        """Kill one of a kind and start another in its place, as an orchestrator does."""
        victim = chance.choice([one for one in who if one not in self.frozen])
        victim.process.kill()
        victim.process.wait(20)
        who.remove(victim)
        who.append(start(self.config, role=role))

    def end(self) -> None:
        """Stop every process that is left, by its own id."""
        self.thaw()
        for one in (self.receiver, *self.workers, *self.senders):
            if one.process.poll() is None:
                one.process.terminate()
        for one in (self.receiver, *self.workers, *self.senders):
            one.stop()


@dataclass(frozen=True, slots=True)
class FleetRun:
    """What a run was, and the verdict."""

    killed: int
    frozen: int
    acknowledged: int
    verdict: Verdict
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "workers": WORKERS,
            "senders": SENDERS,
            "killed": self.killed,
            "frozen": self.frozen,
            "acknowledged": self.acknowledged,
            "lost": len(self.verdict.lost),
            "without_outcome": len(self.verdict.unanswered),
            "duplicated": len(self.verdict.duplicated) + len(self.verdict.strangers),
            "seconds": round(self.seconds, 1),
        }


def run_fleet(folder: Path, rounds: int, seed: int, say: Say) -> FleetRun:
    """Freeze and kill workers and senders, a round after another, while a modality sends.

    In each round a worker and a sender freeze for longer than a lease, another worker dies and is
    replaced, and in every second round a sender as well.

    Args:
        folder: An empty folder for all that is written.
        rounds: How many.
        seed: Of who and when.
        say: Told in one line what happens.

    Raises:
        HarnessError: If a process does not start, or the modality never gets through.
    """
    began, chance = time.monotonic(), random.Random(seed)  # noqa: S311 - chance, no secret
    killed = frozen = 0
    with a_fleet(folder) as fleet:
        progress = Progress(fleet.receiver.database())
        modality = Modality(
            studies(folder / "studies"),
            lambda: ("127.0.0.1", fleet.receiver.dicom_port),
            lambda sent: sent - progress.ended() < _BACKLOG,
        )
        modality.start()
        for number in range(1, rounds + 1):
            time.sleep(chance.uniform(1, 6))
            fleet.freeze(fleet.workers, chance)
            fleet.freeze(fleet.senders, chance)
            since = time.monotonic()
            fleet.replace(fleet.workers, "work", chance)
            frozen, killed = frozen + 2, killed + 1
            if number % 2 == 0:
                fleet.replace(fleet.senders, "deliver", chance)
                killed += 1
            time.sleep(max(0.0, _FROZEN_S - (time.monotonic() - since)))
            fleet.thaw()
            say(f"round {number}: {frozen} frozen, {killed} killed, {progress.ended()} jobs ended")
        if not modality.stop():
            raise HarnessError(f"the modality never got through: {fleet.receiver.log()}")
        progress.settle(len(modality.sent))
        time.sleep(TTL_S / 4)  # whoever woke up last has ended its task
        segs = {study.seg_uid for study in modality.sent}
        blobs = BlobStore(folder / "node" / "data" / "blobs", "judge")
        acknowledged = modality.acknowledged
        verdict = judge(progress.database, blobs, fleet.archive, acknowledged, segs)
    seconds = time.monotonic() - began
    return FleetRun(killed, frozen, len(acknowledged), verdict, seconds)


@contextmanager
def a_fleet(folder: Path) -> Iterator[Fleet]:
    """A running fleet on PostgreSQL with one archive.

    Raises:
        MissingPeerError: Without Orthanc or PostgreSQL.
        HarnessError: If a part of it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        cluster = stack.enter_context(postgres())
        archive = stack.enter_context(orthanc(folder / "pacs"))
        config = write_config(
            folder / "node", [as_destination(archive)], database_url=cluster.new_database()
        )
        fleet = Fleet(config, archive, start(config, role="receive"), [], [])
        stack.callback(fleet.end)
        fleet.workers += [start(config, role="work") for _ in range(WORKERS)]
        fleet.senders += [start(config, role="deliver") for _ in range(SENDERS)]
        yield fleet
