"""How fast images come in, beside Orthanc and dcmtk in the same run: `crdl bench ingest`.

Ours keeps its whole promise meanwhile: an image is acknowledged once its file and its row are
durable. Orthanc fsyncs files but not every change of its index; storescp fsyncs nothing.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.bench.harness import (
    MissingPeerError,
    a_node,
    orthanc,
    postgres,
    storescp,
)
from node.bench.images import CLIP, STILL, Image
from node.bench.sender import Burst
from node.bench.watching import Watch

_ORTHANC_OPTIONS = {
    "MaximumPduLength": 131_072,  # its most; the default of 16 KiB would hold it back
    "DicomThreadsCount": 8,  # as many as there are associations at once
}
REFERENCE = "orthanc"
Report = Callable[[int, int], None]
"""Told how many bursts of how many are done."""


def _say_nothing(done: int, total: int) -> None:
    del done, total


@dataclass(frozen=True, slots=True)
class Receiver:
    """Something that images can be sent to.

    Attributes:
        forget: Removes what it has received, where that is possible while it runs.
    """

    name: str
    ae_title: str
    address: tuple[str, int]
    process_id: int
    forget: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Load:
    """One row of the table: which images, over how many associations at once, how many."""

    image: Image
    associations: int
    images: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One burst into one receiver."""

    receiver: str
    load: Load
    seconds: float
    largest_mib: float
    total_mib: float
    cpu_s: float

    @property
    def images_per_s(self) -> float:
        """Images acknowledged a second."""
        return self.load.images / self.seconds


def loads(stills: int, clips: int, associations: Sequence[int]) -> list[Load]:
    """Return the loads of a run: stills and clips, each over each number of associations."""
    return [
        Load(image, number, max(images, number))
        for image, images in ((STILL, stills), (CLIP, clips))
        if images
        for number in associations
    ]


@contextmanager
def receivers(
    folder: Path, wanted: Sequence[str], node_keys: dict[str, Any]
) -> Iterator[list[Receiver]]:
    """Start the receivers that are wanted and installed.

    Args:
        folder: Gets everything that they write.
        wanted: Of `crdl-sqlite`, `crdl-postgresql`, `orthanc`, `storescp`.
        node_keys: Further keys of our `[node]`.
    """
    with ExitStack() as stack:
        found = []
        for name in wanted:
            try:
                found.append(stack.enter_context(_STARTERS[name](folder / name, node_keys)))
            except MissingPeerError:
                if name.startswith("crdl"):
                    raise
        yield found


def measure(
    running: Sequence[Receiver],
    wanted: Sequence[Load],
    rounds: int,
    report: Report = _say_nothing,
) -> list[Measured]:
    """Send every load to every receiver in turn, round by round: what changes hits all alike."""
    results, number = [], 0
    total = (rounds + 1) * len(wanted) * len(running)
    for round_number in range(rounds + 1):
        for load in wanted:
            # The order turns, so that none always comes first.
            turn = number % len(running)
            for receiver in [*running[turn:], *running[:turn]]:
                number += 1
                one = _burst(receiver, load, number)
                if round_number:  # the first round warms up
                    results.append(one)
                report(number, total)
    return results


def summarise(results: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return a row a load and receiver: medians over the rounds, and the ratio to Orthanc.

    The ratio is the median of the ratios within each round.
    """
    rows = []
    for load in dict.fromkeys(one.load for one in results):
        of_load = [one for one in results if one.load == load]
        reference = [one for one in of_load if one.receiver == REFERENCE]
        for name in dict.fromkeys(one.receiver for one in of_load):
            mine = [one for one in of_load if one.receiver == name]
            pairs = zip(mine, reference, strict=bool(reference))
            ratios = [one.images_per_s / other.images_per_s for one, other in pairs]
            speed = statistics.median(one.images_per_s for one in mine)
            cpu = statistics.median(one.cpu_s / load.images for one in mine)
            rows.append(
                {
                    "image": load.image.name,
                    "associations": load.associations,
                    "receiver": name,
                    "images_per_s": round(speed, 2),
                    "mb_per_s": round(speed * len(load.image.encoded.data_set) / 1e6, 1),
                    "times_orthanc": round(statistics.median(ratios), 2) if ratios else None,
                    "cpu_ms_per_image": round(1000 * cpu, 1),
                    "largest_process_mib": round(max(one.largest_mib for one in mine)),
                    "all_processes_mib": round(max(one.total_mib for one in mine)),
                }
            )
    return rows


def run(
    wanted: Sequence[str],
    planned: Sequence[Load],
    rounds: int,
    node_keys: dict[str, Any],
    report: Report = _say_nothing,
) -> list[dict[str, Any]]:
    """Start the receivers, measure, remove everything, and return the table's rows.

    Raises:
        HarnessError: If a receiver does not start or refuses an image.
    """
    folder = Path(tempfile.mkdtemp(prefix="crdl-ingest-", dir=Path.cwd()))
    try:
        with receivers(folder, wanted, node_keys) as running:
            return summarise(measure(running, planned, rounds, report))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _burst(receiver: Receiver, load: Load, number: int) -> Measured:
    burst = Burst(
        receiver.address, receiver.ae_title, load.image, load.associations, load.images, number
    )
    with Watch(receiver.process_id) as watch:
        seconds = burst.send()
    receiver.forget()
    return Measured(receiver.name, load, seconds, watch.largest_mib, watch.total_mib, watch.cpu_s)


@contextmanager
def _node(folder: Path, node_keys: dict[str, Any]) -> Iterator[Receiver]:
    with a_node(folder, [], role="receive", node=node_keys) as running:
        yield _ours("crdl-sqlite", running.dicom_port, running.process.pid)


@contextmanager
def _node_on_postgres(folder: Path, node_keys: dict[str, Any]) -> Iterator[Receiver]:
    with (
        postgres() as peer,
        a_node(
            folder, [], role="receive", node=node_keys, database_url=peer.new_database()
        ) as running,
    ):
        yield _ours("crdl-postgresql", running.dicom_port, running.process.pid)


def _ours(name: str, port: int, process_id: int) -> Receiver:
    return Receiver(name, "CRDL", ("127.0.0.1", port), process_id, lambda: None)


@contextmanager
def _orthanc(folder: Path, node_keys: dict[str, Any]) -> Iterator[Receiver]:
    del node_keys
    with orthanc(folder, options=_ORTHANC_OPTIONS) as peer:
        address = (peer.host, peer.dicom_port)
        yield Receiver(REFERENCE, peer.ae_title, address, peer.process_id, lambda: None)


@contextmanager
def _storescp(folder: Path, node_keys: dict[str, Any]) -> Iterator[Receiver]:
    del node_keys
    with storescp(folder) as peer:

        def forget() -> None:
            for file in folder.iterdir():
                file.unlink()

        address = (peer.host, peer.dicom_port)
        yield Receiver("storescp", peer.ae_title, address, peer.process_id, forget)


_STARTERS = {
    "crdl-sqlite": _node,
    "crdl-postgresql": _node_on_postgres,
    REFERENCE: _orthanc,
    "storescp": _storescp,
}
RECEIVERS = tuple(_STARTERS)
