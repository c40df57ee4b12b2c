"""Engines and transactions on SQLite and PostgreSQL, with the durability the node promises."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from typing import Any

from sqlalchemy import Connection, Engine, TypeDecorator, create_engine, event, func, select, text
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.types import DateTime

from node.errors import ConfigurationError

_SQLITE_PRAGMAS = (
    "busy_timeout=30000",  # milliseconds; writers queue instead of failing
    "foreign_keys=ON",
    "journal_mode=WAL",
    "synchronous=FULL",  # a commit is on the disk when it returns
)

#: libpq's connection parameters: seconds to connect, seconds to the first sign of life that is
#: asked of an idle connection and between further ones, milliseconds for what was sent to arrive.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

#: Seconds after which PostgreSQL ends a transaction whose process does nothing; ours take less
#: than one.
IDLE_TRANSACTION_S = 10.0


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, always UTC and aware, on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC.

        Raises:
            ValueError: If the time has no zone.
        """
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware time (SQLite forgets the zone)."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def canonical_json(value: object) -> str:
    """Return JSON as our JSON columns hold it: sorted keys, no spaces; the audit hashes it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def open_engine(url: str) -> Engine:
    """Open an engine: SQLite in WAL mode with synchronous=FULL, or PostgreSQL.

    Args:
        url: `sqlite:///path` or `postgresql+psycopg://...`.

    Raises:
        ConfigurationError: If the URL names another database or cannot be read.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # What the library says of it may show the password.
        raise ConfigurationError(
            "database.url is no SQLAlchemy URL: write postgresql+psycopg://USER:PASSWORD@HOST/NAME"
        ) from error
    if parsed.get_backend_name() == "postgresql":
        # A process that freezes in a transaction would keep its locks from its successor.
        milliseconds = int(1000 * IDLE_TRANSACTION_S)
        options = f"-c idle_in_transaction_session_timeout={milliseconds}"
        # A server that is cut off says nothing: without a limit a receiver would hang with it for a
        # quarter of an hour. In the URL, so that the engine of the queues has them as well.
        parsed = parsed.set(query={**_PATIENCE, **parsed.query})
        return create_engine(
            parsed,
            pool_size=10,
            pool_pre_ping=True,
            json_serializer=canonical_json,
            hide_parameters=True,
            connect_args={"options": f"{options} {parsed.query.get('options', '')}".strip()},
        )
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise ConfigurationError("database.url must be sqlite:///FILE or postgresql+psycopg://...")
    Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        connect_args={"check_same_thread": False},
        pool_size=10,
        json_serializer=canonical_json,
        hide_parameters=True,  # an error that is logged shows no row, and a row names a patient
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: SQLiteConnection, record: Any) -> None:  # noqa: ANN401 - pool entry
        del record
        # Write locks are taken at BEGIN, so that a transaction never fails half-way on "locked".
        connection.isolation_level = "IMMEDIATE"
        for pragma in _SQLITE_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    return engine


_LOCK = text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS key")


@contextmanager
def read_only(engine: Engine) -> Iterator[Connection]:
    """A connection for reading that takes no write lock on SQLite."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def lock(connection: Connection, key: str) -> None:
    """Serialise transactions on `key` until this one ends; call it before the first read.

    On PostgreSQL other keys go on side by side; on SQLite every writer waits.
    """
    lock_all(connection, [key])


def lock_all(connection: Connection, keys: Iterable[str]) -> None:
    """Serialise transactions on each of these keys, as `lock` does on one.

    Whoever needs several takes them together: they are taken in one order, so that no two
    transactions wait for each other.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"keys": sorted(map(lock_key, keys))})
        return
    # Python's sqlite3 begins only at the first write: what was read before it could be stale.
    driver = connection.connection.driver_connection
    if isinstance(driver, SQLiteConnection) and not driver.in_transaction:
        driver.execute("BEGIN IMMEDIATE")


def lock_key(key: str) -> int:
    """Return the number under which PostgreSQL knows an advisory lock."""
    return int.from_bytes(sha256(key.encode()).digest()[:8], signed=True)


def server_now(connection: Connection) -> datetime:
    """Return the time by the clock that all processes of this database share.

    That is the database server's on PostgreSQL; SQLite's processes are on one machine.
    """
    if connection.dialect.name == "postgresql":
        return connection.execute(select(func.clock_timestamp(type_=UtcDateTime))).scalar_one()
    return utc_now()
