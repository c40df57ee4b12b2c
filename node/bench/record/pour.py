"""Filling a database with cast studies: bulk inserts, chained as a node would chain them."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, func, insert, select, text

from node.audit.chain import GENESIS, ROWS_A_LINK, Chainer, link_hash
from node.audit.seal import Sealer
from node.audit.tables import LEDGERS, Base, ChainLink, ModelUsage
from node.bench.record.cast import Cast, Caster, Proof, utc
from node.bench.record.mould import APART, StudyMould
from node.database import read_only, utc_now

_STUDIES_A_BATCH: Final = 5_000
_YEAR_S: Final = 365 * 86400.0


def pour(
    database: Engine,
    sealer: Sealer,
    moulds: Sequence[tuple[StudyMould, float]],
    studies: int,
    *,
    first: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> int:
    """Add studies, spread over the year before now; return how many ledger rows that made.

    On PostgreSQL the user must be allowed to set `session_replication_role`.

    Args:
        database: At the newest schema; what it holds stays.
        sealer: With the audit key of that database.
        moulds: With how often each is cast.
        studies: How many to add.
        first: Number of the first; two studies of one number have the same UIDs.
        report: Told how many are done.
    """
    Chainer(database, sealer).advance()
    with read_only(database) as connection:
        numbers = {
            table.name: connection.scalar(select(func.max(table.c.id))) or 0
            for table in Base.metadata.sorted_tables
            if "id" in table.c and table.name not in APART and table.c.id.type.python_type is int
        }
        links = _Links.after(connection, sealer)
    apart_s = _YEAR_S / studies
    caster = Caster(
        sealer=sealer,
        moulds=[mould for mould, _ in moulds],
        shares=[share for _, share in moulds],
        numbers=numbers,
        first=utc(utc_now()) - timedelta(seconds=(studies + first) * apart_s),
        apart_s=apart_s,
    )
    rows_made = 0
    with _bare(database):
        for start in range(first, first + studies, _STUDIES_A_BATCH):
            several = range(start, min(start + _STUDIES_A_BATCH, first + studies))
            cast = Cast()
            for number in several:
                caster.add(number, cast)
            rows_made += sum(map(len, cast.proofs.values()))
            with database.begin() as connection:
                for table, lines in cast.lines.items():
                    _insert(connection, table, cast.columns[table], "".join(lines))
                links.take(connection, cast.proofs)
            if report is not None:
                report(several.stop - first, studies)
        with database.begin() as connection:
            links.close(connection)
    _settle(database)
    return rows_made


@dataclass
class _Links:
    """Chain links as the rows come, each of as many rows as a node's chainer takes."""

    sealer: Sealer
    position: int
    previous: str
    waiting: dict[str, list[Proof]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def after(cls, connection: Connection, sealer: Sealer) -> _Links:
        query = select(ChainLink.position, ChainLink.sha256).order_by(ChainLink.position.desc())
        last = connection.execute(query.limit(1)).one_or_none()
        return cls(sealer, 0, GENESIS) if last is None else cls(sealer, last.position, last.sha256)

    def take(self, connection: Connection, proofs: Mapping[str, Sequence[Proof]]) -> None:
        for ledger, several in proofs.items():
            self.waiting[ledger] += several
            while len(self.waiting[ledger]) >= ROWS_A_LINK:
                self._append(connection, ledger)

    def close(self, connection: Connection) -> None:
        for ledger in LEDGERS:
            if self.waiting[ledger]:
                self._append(connection, ledger)

    def _append(self, connection: Connection, ledger: str) -> None:
        proofs = self.waiting[ledger][:ROWS_A_LINK]
        del self.waiting[ledger][:ROWS_A_LINK]
        self.position += 1
        ids = np.array([number for number, _ in proofs], dtype="<i8").tobytes()
        hashes = b"".join(row_hash for _, row_hash in proofs)
        sha256 = link_hash(self.position, self.previous, ledger, ids, hashes)
        connection.execute(
            insert(ChainLink).values(
                position=self.position,
                ledger=ledger,
                row_ids=ids,
                row_hashes=hashes,
                previous_sha256=self.previous,
                sha256=sha256,
                seal=self.sealer.sign(sha256),
                made_at=utc_now(),
            )
        )
        self.previous = sha256


def _insert(connection: Connection, table: str, columns: Sequence[str], lines: str) -> None:
    names = ", ".join(f'"{column}"' for column in columns)
    driver: Any = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        places = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608 - our names
        driver.executemany(statement, map(_cells, lines.splitlines()))
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        copy.write(lines)


def _cells(line: str) -> list[str | None]:
    """Return a line's cells; SQLite makes numbers of texts where a column holds numbers."""
    cells = line.split("\t")
    return [
        None if cell == r"\N" else cell.replace(r"\\", "\\") if "\\" in cell else cell
        for cell in cells
    ]


@contextmanager
def _bare(database: Engine) -> Iterator[None]:
    """Leave out triggers, foreign keys and secondary indexes while rows pour in."""
    postgres = database.dialect.name == "postgresql"
    with database.begin() as connection:
        kept = _indexes(connection) if postgres else _sqlite_parts(connection)
        for name, _ in kept:
            connection.execute(text(f"DROP {name}"))
        if postgres:
            # A statement about a role cannot take parameters; the role is our own.
            connection.execute(
                text("ALTER ROLE CURRENT_USER SET session_replication_role = replica")
            )
            connection.execute(text("ALTER ROLE CURRENT_USER SET timezone = 'UTC'"))
    database.dispose()  # connections take a role's settings when they are opened
    try:
        yield
    finally:
        if postgres:
            with database.begin() as connection:
                connection.execute(text("ALTER ROLE CURRENT_USER RESET session_replication_role"))
        database.dispose()
        for _, made in kept:
            with database.begin() as connection:
                # SQLite takes a statement as it is; psycopg reads %% as %.
                connection.exec_driver_sql(made.replace("%", "%%") if postgres else made)


def _indexes(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute(
        text(
            "SELECT i.indexname, i.indexdef FROM pg_indexes AS i WHERE i.schemaname = 'public' "
            "AND i.indexname NOT IN (SELECT conname FROM pg_constraint)"
        )
    )
    known = {index.name for table in Base.metadata.tables.values() for index in table.indexes}
    return [(f"INDEX {name}", made) for name, made in rows if name in known]


def _sqlite_parts(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute(
        text("SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger')")
    )
    known = {index.name for table in Base.metadata.tables.values() for index in table.indexes}
    return [
        (f"{kind} {name}", made) for kind, name, made in rows if kind == "trigger" or name in known
    ]


def _settle(database: Engine) -> None:
    """Count the usage, go on numbering after the last row, and let the planner know the tables."""
    postgres = database.dialect.name == "postgresql"
    day = "(created_at AT TIME ZONE 'UTC')::date" if postgres else "date(created_at)"
    with database.begin() as connection:
        connection.execute(text(f"DELETE FROM {ModelUsage.__tablename__}"))  # noqa: S608 - our name
        connection.execute(
            text(
                f"INSERT INTO {ModelUsage.__tablename__} "  # noqa: S608 - our names
                f"SELECT {day}, bundle_sha256, coalesce(finding ->> 'model', ''), 0, count(*), "
                "sum(CASE WHEN status = 'refused' THEN 1 ELSE 0 END), "
                "sum(CASE WHEN malignancy = 'malignant' THEN 1 ELSE 0 END), "
                "count(probability), coalesce(sum(probability), 0) "
                f"FROM finding GROUP BY {day}, bundle_sha256, coalesce(finding ->> 'model', '')"
            )
        )
        if postgres:
            for table in Base.metadata.sorted_tables:
                if "id" in table.c and table.c.id.type.python_type is int:
                    connection.execute(
                        text(
                            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "  # noqa: S608 - our names
                            f"greatest((SELECT max(id) FROM {table.name}), 1)) "
                            f"WHERE pg_get_serial_sequence('{table.name}', 'id') IS NOT NULL"
                        )
                    )
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if postgres:  # as its own autovacuum would; a node never has SQLite gather statistics
            connection.execute(text("VACUUM ANALYZE"))
