"""Steady traffic for an hour or more, and whether any process grows: `crdl bench soak`."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from node.bench.harness import RunningNode, a_node, as_destination, orthanc
from node.bench.outcomes import kept, latencies, wait_for_outcomes
from node.bench.studies import lesion_of_10k_pixels
from node.bench.traffic import Traffic
from node.bench.watching import MIB, tree

_SAMPLE_S = 10.0
_WARM_UP = 0.25  # of the time: caches fill, pools open
_OUTCOME_S = 120.0
_ARCHIVE = "Orthanc"  # shown beside ours, but not ours to judge: it fills a cache of 128 MiB
#: More growth than this in what is left of the run is a leak, whatever the slope says.
FLAT_MIB: Final = 15.0
FLAT_HANDLES: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one process."""

    process: str
    at_s: float
    memory_mib: float
    handles: int
    threads: int


@dataclass(frozen=True, slots=True)
class Growth:
    """How one process fared over the run; slopes by Theil and Sen, over the last three quarters.

    Attributes:
        memory_growth_mib: The slope times the time that it was measured over.
        handle_growth: The same of open files and sockets.
    """

    process: str
    memory_mib: float
    memory_maximum_mib: float
    memory_slope_mib_per_hour: float
    memory_growth_mib: float
    handles: float
    handles_maximum: int
    handle_slope_per_hour: float
    handle_growth: float
    threads_maximum: int
    is_flat: bool


def growth(samples: Sequence[Sample]) -> list[Growth]:
    """Return a row a process that lived throughout, in the order in which they were first seen."""
    of_process: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        of_process[sample.process].append(sample)
    end = max((sample.at_s for sample in samples), default=0.0)
    rows = []
    for process, mine in of_process.items():
        settled = [sample for sample in mine if sample.at_s >= _WARM_UP * end]
        if len(settled) < 3 or mine[0].at_s > _WARM_UP * end:
            continue
        hours = (settled[-1].at_s - settled[0].at_s) / 3600
        memory = 3600 * slope([(sample.at_s, sample.memory_mib) for sample in settled])
        handles = 3600 * slope([(sample.at_s, sample.handles) for sample in settled])
        rows.append(
            Growth(
                process,
                round(statistics.median(sample.memory_mib for sample in settled), 1),
                round(max(sample.memory_mib for sample in mine), 1),
                round(memory, 2),
                round(memory * hours, 2),
                statistics.median(sample.handles for sample in settled),
                max(sample.handles for sample in mine),
                round(handles, 2),
                round(handles * hours, 2),
                max(sample.threads for sample in mine),
                memory * hours <= FLAT_MIB and handles * hours <= FLAT_HANDLES,
            )
        )
    return rows


def all_flat(rows: Iterable[Growth]) -> bool:
    """Say whether no process of ours grows."""
    return all(row.is_flat for row in rows if row.process != _ARCHIVE)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the median of the slopes of all pairs (Theil and Sen): single peaks do not bend it.

    At most 400 points are taken, evenly.
    """
    step = max(1, len(points) // 400)
    chosen = points[::step]
    slopes = [
        (y2 - y1) / (x2 - x1)
        for index, (x1, y1) in enumerate(chosen)
        for x2, y2 in chosen[index + 1 :]
        if x2 > x1
    ]
    return statistics.median(slopes) if slopes else 0.0


def soak(
    seconds: float,
    images_per_hour: float,
    report: Callable[[int, int], None],
    log: Path | None = None,
) -> tuple[list[Growth], dict[str, Any]]:
    """Run a node with all roles beside an Orthanc under steady traffic.

    Args:
        seconds: How long.
        images_per_hour: Of the Poisson process.
        report: Told the seconds that are over, and all of them.
        log: Gets every sample as CSV.

    Returns:
        A row a process, and a summary: studies sent, instances acknowledged and kept, reports
        proven, latencies.
    """
    samples: list[Sample] = []
    with (
        tempfile.TemporaryDirectory(prefix="crdl-soak-", dir=Path.cwd()) as folder,
        orthanc(Path(folder) / "pacs") as pacs,
        a_node(Path(folder) / "node", [as_destination(pacs)]) as node,
    ):
        address = ("127.0.0.1", node.dicom_port)
        traffic = Traffic(lesion_of_10k_pixels(), address, "CRDL", images_per_hour, seconds)
        sender = threading.Thread(target=traffic.run, daemon=True)
        begun = time.monotonic()
        sender.start()
        while sender.is_alive() or time.monotonic() - begun < seconds:
            at = time.monotonic() - begun
            samples += _look(node, pacs.process_id, at)
            report(min(round(at), round(seconds)), round(seconds))
            time.sleep(max(0.0, min(_SAMPLE_S, seconds - at)) or 0.1)
        database = node.database()
        unfinished = wait_for_outcomes(database, traffic.arrivals, _OUTCOME_S)
        waits = sorted(latencies(database, traffic.arrivals))
        summary = {
            "seconds": round(seconds),
            "studies": len(traffic.arrivals),
            "failures": len(traffic.failures),
            "instances_acknowledged": sum(len(one.study.instances) for one in traffic.arrivals),
            "instances_kept": kept(database, traffic.arrivals),
            "reports_proven": len(waits),
            "without_outcome": unfinished,
            "median_latency_s": round(statistics.median(waits), 3) if waits else None,
            "restarts": len({sample.process for sample in samples}) - len(growth(samples)),
        }
    if log is not None:
        _write(log, samples)
    return growth(samples), summary


def _look(node: RunningNode, archive: int, at: float) -> Iterable[Sample]:
    names = {archive: _ARCHIVE}
    for process in [*node.tree(), *tree(archive)[:1]]:
        with suppress(psutil.NoSuchProcess):
            name = names.get(process.pid) or _name(process)
            with process.oneshot():
                memory = process.memory_info().rss / MIB
                yield Sample(name, at, memory, process.num_fds(), process.num_threads())


def _name(process: psutil.Process) -> str:
    """Return role and process id: a process that was started again is another one."""
    command = process.cmdline()
    if "--role" in command:
        role = command[command.index("--role") + 1]
    else:
        role = command[-1].rpartition(".")[2] if command else "?"
    return f"{role} {process.pid}"


def _write(log: Path, samples: Iterable[Sample]) -> None:
    lines = ["process,at_s,memory_mib,handles,threads"]
    lines += [
        f"{one.process},{one.at_s:.1f},{one.memory_mib:.2f},{one.handles},{one.threads}"
        for one in samples
    ]
    log.write_text("\n".join(lines) + "\n")
