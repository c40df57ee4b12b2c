"""`crdl bench scale`: workers here, the database's cost as it grows, and what lies beyond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from node.audit import schema
from node.audit.seal import Sealer
from node.bench.harness.orthanc import orthanc
from node.bench.harness.postgres import postgres
from node.bench.record.measure import SERVER, moulds
from node.bench.record.pour import pour
from node.bench.scale.cost import Cost, compare
from node.bench.scale.simulation import DAY_S, Outcome, Station, capacity_per_day, simulate
from node.bench.scale.workers import Run, run_workers
from node.database import open_engine
from node.jobs.dbos_engine import migrate

MOST_WORKERS: Final = 100
STUDIES_A_DAY: Final = 1_000_000
FLAT: Final = 1.3
"""A study on the largest record costs the database at most so many times that on the smallest."""

_SIMULATED: Final = 50_000
_RECEIVERS: Final = 4
_DELIVERIES: Final = 400
_TRANSACTIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Scaled:
    """All figures of one run.

    Attributes:
        ratio: Cost of a study on the largest record over that on the smallest.
        capacity: Studies a day that the simulated cluster can do at most.
    """

    runs: tuple[Run, ...]
    costs: tuple[Cost, ...]
    ratio: float
    outcomes: tuple[tuple[int, Outcome], ...]
    capacity: float

    @property
    def holds(self) -> bool:
        """The cost stays flat."""
        return self.ratio < FLAT

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"holds": self.holds}


def measure_scale(
    workers: Sequence[int],
    cases: int,
    records: Sequence[int],
    rounds: int,
    say: Callable[[str], None],
) -> Scaled:
    """Measure everything on a PostgreSQL of its own.

    Args:
        workers: How many workers run, one run after the other.
        cases: Studies of each run.
        records: Studies that the databases hold whose cost is compared.
        rounds: Studies that are taken through each of those.
        say: Told what begins.
    """
    with TemporaryDirectory(prefix="crdl-scale-") as name, postgres() as cluster:
        folder = Path(name)
        for setting, value in SERVER.items():
            cluster.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        cluster.stop()
        cluster.start()
        runs = []
        with orthanc(folder / "pacs") as archive:
            for number in workers:
                say(f"{number} workers, {cases} cases")
                url = cluster.new_database()
                database = open_engine(url)
                place = folder / f"workers-{number}"
                runs.append(run_workers(place, url, database, archive, number, cases))
                database.dispose()
        costs = _costs(folder, cluster.new_database, records, rounds, say)
    stations = _stations(runs[0], costs[-1])
    outcomes = []
    for number in (1, 4, 16, 64, MOST_WORKERS):
        sized = _with_workers(stations, number)
        outcomes.append((number, simulate(sized, STUDIES_A_DAY, _SIMULATED)))
    return Scaled(
        tuple(runs),
        tuple(costs),
        round(costs[-1].whole_ms / costs[0].whole_ms, 3),
        tuple(outcomes),
        round(capacity_per_day(_with_workers(stations, MOST_WORKERS))),
    )


def _costs(
    folder: Path,
    new_database: Callable[[], str],
    records: Sequence[int],
    rounds: int,
    say: Callable[[str], None],
) -> list[Cost]:
    sealer = Sealer.from_file(folder / "cost.key")
    with moulds() as cast_from, ExitStack() as stack:
        filled = []
        for studies in sorted(records):
            say(f"a record of {studies} studies")
            database = open_engine(new_database())
            stack.callback(database.dispose)
            schema.upgrade(database)
            migrate(database)
            pour(database, sealer, cast_from, studies)
            filled.append((database, sealer))
        say(f"{rounds} studies through each record")
        return compare(filled, rounds)


def _stations(run: Run, cost: Cost) -> list[Station]:
    """Return the flow with the service times that were measured in this run."""
    return [
        Station("receive", _RECEIVERS, run.service_s["intake"]),
        Station("database", _TRANSACTIONS, (cost.whole_ms / 1000,)),
        Station("inference", 1, run.service_s["inference"]),
        Station("delivery", _DELIVERIES, run.service_s["delivery"]),
    ]


def _with_workers(stations: Sequence[Station], workers: int) -> list[Station]:
    return [
        Station(one.name, workers if one.name == "inference" else one.servers, one.service_s)
        for one in stations
    ]


def rows_of(scaled: Scaled) -> dict[str, list[dict[str, Any]]]:
    """Return the tables that people read."""
    return {
        "Workers on this machine": [
            {
                "workers": run.workers,
                "cases": run.cases,
                "cases_per_s": run.cases_per_s,
                "gain": round(run.cases_per_s / scaled.runs[0].cases_per_s, 2),
                "median_s": run.median_s,
                "p95_s": run.p95_s,
            }
            for run in scaled.runs
        ],
        f"Database, ms a study (largest over smallest {scaled.ratio}, bound {FLAT})": [
            {"studies": cost.studies, **cost.milliseconds, "all": round(cost.whole_ms, 2)}
            for cost in scaled.costs
        ],
        f"Simulated: {STUDIES_A_DAY:,} studies a day ({STUDIES_A_DAY / DAY_S:.1f} a second); "
        f"{MOST_WORKERS} workers could do {scaled.capacity:,.0f}": [
            {
                "workers": workers,
                "kept_up": outcome.kept_up,
                "median_s": outcome.median_s,
                "p95_s": outcome.p95_s,
                "bottleneck": outcome.bottleneck,
                "busy": ", ".join(f"{name} {share:.0%}" for name, share in outcome.busy.items()),
            }
            for workers, outcome in scaled.outcomes
        ],
    }
