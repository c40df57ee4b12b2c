"""A record of a given size on a given database, asked and proven: what `crdl bench audit` runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import Engine

from node.audit import schema
from node.audit.seal import Sealer
from node.audit.verify import verify
from node.bench.harness.postgres import postgres
from node.bench.record.mould import StudyMould, dissent, take
from node.bench.record.pour import pour
from node.bench.record.questions import Answered, time_questions
from node.bench.record.specimens import SHARES, open_raw, worked_through
from node.database import open_engine
from node.jobs.dbos_engine import migrate

#: For a server that holds a record of tens of gigabytes, on a machine that does other things too.
SERVER: Final = {
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "4GB",
    "random_page_cost": "1.1",
    "effective_cache_size": "4GB",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a record of this size costs.

    Attributes:
        rows: In the ledgers.
        verified_per_s: Rows that `verify` proved a second of wall time.
        intact: Whether it proved them.
        gigabytes: Of the database.
    """

    database: str
    studies: int
    rows: int
    answers: tuple[Answered, ...]
    verified_per_s: float
    intact: bool
    gigabytes: float

    @property
    def holds(self) -> bool:
        """Every answer in time, and the record proven."""
        return self.intact and all(answer.holds for answer in self.answers)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"holds": self.holds}


@contextmanager
def moulds() -> Iterator[list[tuple[StudyMould, float]]]:
    """Let a real node work, and take the moulds of its studies with how often each occurs."""
    with worked_through() as (path, specimens):
        source = open_raw(path)
        try:
            taken = [take(source, one.name, one.study_instance_uid) for one in specimens]
        finally:
            source.close()
    yield [(dissent(m) if m.name == "another" else m, SHARES[m.name]) for m in taken]


@contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL with an empty database; gives its address."""
    with postgres() as cluster:
        for name, value in SERVER.items():
            cluster.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        cluster.stop()
        cluster.start()
        yield cluster.new_database()


@contextmanager
def filled(
    kind: str, studies: int, report: Callable[[int, int], None] | None = None
) -> Iterator[tuple[Engine, Sealer]]:
    """A database with so many studies and its audit key, gone afterwards.

    Args:
        kind: `sqlite` or `postgresql`.
        studies: How many.
        report: Told how many are there.
    """
    with TemporaryDirectory(prefix="crdl-record-") as folder:
        sealer = Sealer.from_file(Path(folder) / "audit.key")
        if kind == "postgresql":
            with server() as url, _filled(url, sealer, studies, report) as database:
                yield database, sealer
            return
        with _filled(f"sqlite:///{folder}/node.db", sealer, studies, report) as database:
            yield database, sealer


@contextmanager
def _filled(
    url: str, sealer: Sealer, studies: int, report: Callable[[int, int], None] | None
) -> Iterator[Engine]:
    database = open_engine(url)
    try:
        schema.upgrade(database)
        migrate(database)
        with moulds() as cast_from:
            pour(database, sealer, cast_from, studies, report=report)
        yield database
    finally:
        database.dispose()


def measure(
    database: Engine, sealer: Sealer, studies: int, rounds: int, *, processes: int | None = None
) -> Measured:
    """Ask and prove a record that is there."""
    answers = tuple(time_questions(database, rounds))
    begun = time.perf_counter()
    found = verify(database, sealer, (), processes or os.cpu_count() or 1)
    took = time.perf_counter() - begun
    return Measured(
        database=database.dialect.name,
        studies=studies,
        rows=found.rows,
        answers=answers,
        verified_per_s=round(found.rows / took),
        intact=found.intact,
        gigabytes=round(_size(database) / 1e9, 2),
    )


def _size(database: Engine) -> int:
    with database.connect() as connection:
        if database.dialect.name == "postgresql":
            query = "SELECT pg_database_size(current_database())"
            return int(connection.exec_driver_sql(query).scalar_one())
        return Path(str(database.url.database)).stat().st_size
