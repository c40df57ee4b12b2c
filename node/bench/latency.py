"""From the last C-STORE to the proof that the SR is in Orthanc: `crdl bench latency`."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, select

from node.audit.tables import LEDGERS
from node.audit.trail import Ledger
from node.bench.harness import HarnessError, a_node, as_destination, orthanc, postgres
from node.bench.outcomes import latencies, proofs_of, wait_for_outcomes
from node.bench.studies import StudyTemplate, lesion_of_10k_pixels
from node.bench.traffic import Arrival, Traffic
from node.database import read_only
from node.jobs.states import subject

RATES: Final = (50.0, 500.0, 5000.0)
_STAGES = ("pairing", "begun", "assessing", "delivering")
_LOOKED_AT = 400
_WARM_UP = 3
_OUTCOME_S = 600.0
_NUMBERS = 100_000  # studies of one rate; those of the next have other numbers


@dataclass(frozen=True, slots=True)
class Measured:
    """What one rate of arrivals gave.

    Attributes:
        waits_s: Seconds from the last acknowledgement to the proof, one a study.
        stages_s: Medians of the way, from one fact in the ledger to the next.
    """

    per_hour: float
    studies: int
    seconds: float
    waits_s: tuple[float, ...]
    unproven: int
    stages_s: dict[str, float]

    def row(self) -> dict[str, Any]:
        """Return the row of the table."""
        ordered = sorted(self.waits_s)
        return {
            "US an hour": self.per_hour,
            "studies": self.studies,
            "minutes": round(self.seconds / 60, 1),
            "p50_s": quantile(ordered, 0.50),
            "p95_s": quantile(ordered, 0.95),
            "p99_s": quantile(ordered, 0.99),
            "worst_s": quantile(ordered, 1.0),
            "unproven": self.unproven,
            **{stage: round(seconds, 3) for stage, seconds in self.stages_s.items()},
        }


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that so large a share does not exceed; None of no values."""
    if not ordered:
        return None
    return round(ordered[max(0, -(-round(share * 1e6) * len(ordered) // 1_000_000) - 1)], 3)


def run(
    rates: Sequence[float],
    studies: int,
    seconds: float,
    *,
    database: str,
    report: Callable[[int, int], None],
) -> list[Measured]:
    """Run a whole node beside an Orthanc and send it studies at each rate in turn.

    Args:
        rates: US images an hour, arrivals of a Poisson process.
        studies: The most that are sent at a rate.
        seconds: The most that a rate may take.
        database: `sqlite` or `postgresql`.
        report: Told how many rates are done, and how many there are.

    Raises:
        HarnessError: If a node or a peer does not start, or a study is not stored.
    """
    template = lesion_of_10k_pixels()
    with tempfile.TemporaryDirectory(prefix="crdl-latency-", dir=Path.cwd()) as folder:
        root = Path(folder)
        if database == "sqlite":
            return _beside_orthanc(root, "", template, rates, studies, seconds, report)
        with postgres() as peer:
            url = peer.new_database()
            return _beside_orthanc(root, url, template, rates, studies, seconds, report)


def _beside_orthanc(
    root: Path,
    database_url: str,
    template: StudyTemplate,
    rates: Sequence[float],
    studies: int,
    seconds: float,
    report: Callable[[int, int], None],
) -> list[Measured]:
    found = []
    with (
        orthanc(root / "pacs") as pacs,
        a_node(root / "node", [as_destination(pacs)], database_url=database_url) as node,
    ):
        address = ("127.0.0.1", node.dicom_port)
        warming = Traffic(template, address, "CRDL", 3600, 60, studies=_WARM_UP, first=1)
        _measured(warming, node.database())
        for index, per_hour in enumerate(rates):
            first = (index + 1) * _NUMBERS
            traffic = Traffic(template, address, "CRDL", per_hour, seconds, studies, first=first)
            found.append(_measured(traffic, node.database()))
            report(index + 1, len(rates))
        proven = sum(len(one.waits_s) for one in found)
        if pacs.count("1.2.840.10008.5.1.4.1.1.88.34") < proven:  # Comprehensive 3D SR
            raise HarnessError("the archive has fewer reports than were proven")
    return found


def _measured(traffic: Traffic, database: Engine) -> Measured:
    traffic.run()
    if traffic.failures:
        raise HarnessError(f"studies were not stored: {traffic.failures[:3]}")
    arrivals = traffic.arrivals
    wait_for_outcomes(database, arrivals, _OUTCOME_S)
    waits = latencies(database, arrivals)
    elapsed = max(one.at for one in arrivals) - min(one.at for one in arrivals) if arrivals else 0
    return Measured(
        traffic.images_per_hour,
        len(arrivals),
        elapsed,
        tuple(waits),
        len(arrivals) - len(waits),
        stages(database, arrivals),
    )


def stages(database: Engine, arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Return the medians of the parts of the way, in seconds, by the times in the ledger.

    Each has the wait in its queue before it: `pairing` from the SEG's row to the queued job,
    `begun` to the worker, `assessing` to the stored report, `delivering` to the proof.
    """
    uids = [arrival.study.seg_uid for arrival in arrivals][:_LOOKED_AT]
    jobs = [subject(uid, generation=1) for uid in uids]
    proofs = proofs_of(database, uids)
    with read_only(database) as connection:

        def times(ledger: Ledger, event: str, subjects: Sequence[str]) -> list[float | None]:
            table = LEDGERS[ledger]
            query = select(table.subject, table.at).where(
                table.subject.in_(subjects), table.event == event
            )
            found = {name: at.timestamp() for name, at in connection.execute(query)}
            return [found.get(name) for name in subjects]

        marks = [
            times("instance", "received", uids),
            *(times("job", event, jobs) for event in ("queued", "running", "delivering")),
            [proofs.get(uid) for uid in uids],
        ]
    medians = {}
    for name, begins, ends in zip(_STAGES, marks[:-1], marks[1:], strict=True):
        spans = [
            end - begin
            for begin, end in zip(begins, ends, strict=True)
            if begin is not None and end is not None
        ]
        if spans:
            medians[name] = statistics.median(spans)
    return medians
