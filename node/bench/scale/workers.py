"""One, two and four workers on one PostgreSQL: real processes, a real archive, real studies."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import Engine, func, select

from node.audit.tables import Job, LedgerJob
from node.bench.harness.node_process import RunningNode, as_destination, start, write_config
from node.bench.harness.orthanc import Orthanc
from node.bench.harness.programs import HarnessError
from node.bench.record.specimens import study_files
from node.database import read_only
from node.deliver.send import send_files

_ENDED: Final = ("done", "refused", "held", "dead")
_PATIENCE_S: Final = 900.0
#: What a job does between two of its ledger rows.
_STAGES: Final = {("running", "delivering"): "inference", ("delivering", "done"): "delivery"}


@dataclass(frozen=True, slots=True)
class Run:
    """What so many workers did.

    Attributes:
        cases_per_s: From the first byte to the last proof; all processes were ready before.
        median_s: From the receipt of a study to its proof, waiting for those before it included.
        service_s: Seconds that each case spent in a stage, by stage.
    """

    workers: int
    cases: int
    cases_per_s: float
    median_s: float
    p95_s: float
    service_s: Mapping[str, tuple[float, ...]]


def run_workers(
    folder: Path, database_url: str, database: Engine, archive: Orthanc, workers: int, cases: int
) -> Run:
    """Start everything, send studies as fast as they are taken, and wait until all is proven.

    Args:
        folder: For configuration, files and logs.
        database_url: An empty PostgreSQL database.
        database: The same, open.
        archive: Where the reports go.
        workers: How many processes of the role work.
        cases: Studies of one lesion each.

    Raises:
        HarnessError: If a job does not end as done.
    """
    files = [study_files(folder / "studies" / str(number), number) for number in range(cases)]
    roles = ("receive", "deliver", *("work",) * workers)
    with _roles(folder, database_url, archive, roles) as (receive, *_):
        begun = time.perf_counter()
        for several in files:
            results = send_files(several, "CRDL", "127.0.0.1", receive.dicom_port, "MODALITY")
            if not all(result.stored for result in results):
                raise HarnessError(f"a study was not taken: {results}")
        intake_s = (time.perf_counter() - begun) / cases
        _wait(database, cases)
        took = time.perf_counter() - begun
    waits = _waits(database)
    stages = _service(database) | {"intake": (intake_s,)}
    return Run(
        workers=workers,
        cases=cases,
        cases_per_s=round(cases / took, 3),
        median_s=round(float(np.median(waits)), 2),
        p95_s=round(float(np.quantile(waits, 0.95)), 2),
        service_s=stages,
    )


@contextmanager
def _roles(
    folder: Path, url: str, archive: Orthanc, roles: Sequence[str]
) -> Iterator[tuple[RunningNode, ...]]:
    """Processes of these roles, each with a configuration of its own and one audit key."""
    key = folder / "audit.key"
    shared = f"[audit]\nkey = '{key}'\n[blobs]\nurl = 'file://{folder / 'blobs'}'\n"
    with ExitStack() as stack:
        nodes = []
        for number, role in enumerate(roles):
            name = f"{role}-{number}"
            config = write_config(
                folder / name,
                [as_destination(archive)],
                shared,
                database_url=url,
                node={"name": name},
            )
            node = start(config, role=role)
            stack.callback(node.stop)
            nodes.append(node)
        yield tuple(nodes)


def _wait(database: Engine, cases: int) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        with read_only(database) as connection:
            rows = connection.execute(select(Job.state, func.count()).group_by(Job.state))
            found = {row[0]: int(row[1]) for row in rows}
        if sum(found.get(state, 0) for state in _ENDED) == cases:
            if found.get("done", 0) != cases:
                raise HarnessError(f"not every job is done: {found}")
            return
        time.sleep(0.1)
    raise HarnessError(f"the jobs did not end in {_PATIENCE_S:.0f} s: {found}")


def _waits(database: Engine) -> list[float]:
    """Return for each job the seconds from its receipt to its proof."""
    with read_only(database) as connection:
        rows = connection.execute(select(Job.received_at, Job.proven_at)).all()
    return [
        (proven - received).total_seconds()
        for received, proven in rows
        if received is not None and proven is not None
    ]


def _service(database: Engine) -> dict[str, tuple[float, ...]]:
    """Return how long each stage took, from the rows of the ledger."""
    found: dict[str, list[float]] = defaultdict(list)
    before: dict[str, tuple[str, datetime]] = {}
    with read_only(database) as connection:
        rows = connection.execute(
            select(LedgerJob.subject, LedgerJob.event, LedgerJob.at).order_by(LedgerJob.id)
        )
        for subject, event, at in rows:
            if subject in before:
                last, since = before[subject]
                stage = _STAGES.get((last, event))
                if stage is not None:
                    found[stage].append((at - since).total_seconds())
            before[subject] = (event, at)
    return {name: tuple(seconds) for name, seconds in found.items()}
