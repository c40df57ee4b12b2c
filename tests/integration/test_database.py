"""The database on SQLite and PostgreSQL: schema, ledgers, locks and times alike."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Event

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.exc import DatabaseError, DBAPIError

from node.audit import schema
from node.audit.tables import LEDGERS, Base, Installation, Lease, LedgerSystem
from node.audit.trail import Trail
from node.database import IDLE_TRANSACTION_S, lock, open_engine, server_now
from node.errors import ConfigurationError
from tests.jobs_fixtures import DATABASES
from tests.postgres import Postgres, postgres

ROOT = Path(__file__).parents[2]
UPGRADE = """
import sys
from node.audit import schema
from node.database import open_engine
from node.jobs.dbos_engine import migrate
database = open_engine(sys.argv[1])
print(schema.upgrade(database))
migrate(database)
"""


@pytest.fixture(scope="module")
def a_postgres() -> Iterator[Postgres]:
    with postgres() as peer:
        yield peer


@pytest.fixture(params=DATABASES)
def an_empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("a_postgres").new_database())
    return f"sqlite:///{tmp_path / 'node.db'}"


@pytest.fixture
def a_data_base(an_empty_database: str) -> Iterator[Engine]:
    database = open_engine(an_empty_database)
    schema.upgrade(database)
    yield database
    database.dispose()


def test_processes_that_start_at_once_agree_on_one_installation(an_empty_database: str) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE, an_empty_database],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(set(answers)) == 1
    assert answers[0].startswith("2.25.")


def test_the_migrations_make_the_tables_that_the_code_describes(a_data_base: Engine) -> None:
    names = set(Base.metadata.tables)
    with a_data_base.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or name in names},
        )
        assert compare_metadata(context, Base.metadata) == []


def test_a_second_upgrade_changes_nothing(a_data_base: Engine) -> None:
    with a_data_base.connect() as connection:
        uid = connection.scalar(select(Installation.uid))
    before = schema.revision(a_data_base)
    assert schema.upgrade(a_data_base) == uid
    assert schema.revision(a_data_base) == before


def test_the_schema_of_a_newer_version_is_refused(a_data_base: Engine) -> None:
    with a_data_base.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="newer version"):
        schema.upgrade(a_data_base)


@pytest.mark.parametrize("ledger", sorted(LEDGERS))
def test_ledger_rows_cannot_be_changed(a_data_base: Engine, ledger: str) -> None:
    table = LEDGERS[ledger].__tablename__
    with a_data_base.begin() as connection:
        Trail("test").record(connection, ledger, "happened", "1.2", {"why": "a test"})
    attempts = [f"UPDATE {table} SET event = 'x'", f"DELETE FROM {table}"]
    if a_data_base.dialect.name == "postgresql":
        attempts += [f"TRUNCATE {table}", f"TRUNCATE {table} CASCADE"]
    else:
        attempts += [f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"]
    for attempt in attempts:
        with (
            pytest.raises(DatabaseError, match="append-only"),
            a_data_base.begin() as connection,
        ):
            connection.execute(text(attempt))
    with a_data_base.connect() as connection:
        (row,) = connection.execute(select(LEDGERS[ledger].__table__))
    assert (row.event, row.detail) == ("happened", {"why": "a test"})


def test_a_time_comes_back_aware_and_in_utc_whatever_its_zone(a_data_base: Engine) -> None:
    noon = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
    with a_data_base.begin() as connection:
        connection.execute(insert(Lease).values(executor_id="e", role="work", beat_at=noon))
        found = connection.scalar(select(Lease.beat_at))
    assert found == noon
    assert found.tzinfo is UTC
    with pytest.raises(Exception, match="needs a zone"), a_data_base.begin() as connection:
        connection.execute(update(Lease).values(beat_at=noon.replace(tzinfo=None)))


def test_the_shared_clock_moves_within_a_transaction(a_data_base: Engine) -> None:
    with a_data_base.begin() as connection:
        first = server_now(connection)
        time.sleep(0.01)
        assert server_now(connection) > first
    assert first.tzinfo is not None


def test_who_holds_a_key_sees_what_the_holder_before_wrote(a_data_base: Engine) -> None:
    with a_data_base.begin() as connection:
        connection.execute(
            insert(LedgerSystem).values(
                at=datetime.now(UTC), actor="0", event="e", subject="s", detail={}, schema_version=1
            )
        )

    def count_up(_: int) -> None:
        with a_data_base.begin() as connection:
            lock(connection, "counter")
            last = connection.scalar(
                select(LedgerSystem.actor).order_by(LedgerSystem.id.desc()).limit(1)
            )
            Trail(str(int(last) + 1)).record(connection, "system", "e", "s")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, range(20)))
    with a_data_base.connect() as connection:
        actors = connection.scalars(select(LedgerSystem.actor).order_by(LedgerSystem.id)).all()
    assert actors == [str(number) for number in range(21)]


def test_on_postgresql_other_keys_go_on_side_by_side(a_postgres: Postgres) -> None:
    database = open_engine(a_postgres.new_database())
    held = Event()

    def hold_another() -> None:
        with database.begin() as connection:
            lock(connection, "study 2")
            held.set()

    with ThreadPoolExecutor(1) as pool, database.begin() as connection:
        lock(connection, "study 1")
        pool.submit(hold_another)
        assert held.wait(10)
    database.dispose()


def test_postgresql_ends_the_transaction_of_a_frozen_process(a_postgres: Postgres) -> None:
    url = a_postgres.new_database()
    for address, wanted in (
        (url, f"{IDLE_TRANSACTION_S:.0f}s"),
        (url + "?options=-c%20idle_in_transaction_session_timeout%3D200", "200ms"),
    ):
        database = open_engine(address)
        with database.connect() as connection:
            shown = connection.scalar(text("SHOW idle_in_transaction_session_timeout"))
        assert shown == wanted

    def freeze_in_a_transaction() -> None:
        with database.begin() as connection:
            lock(connection, "job 1")
            time.sleep(0.6)
            lock(connection, "job 2")

    with pytest.raises(DBAPIError, match="idle-in-transaction"):
        freeze_in_a_transaction()
    with database.begin() as connection:
        lock(connection, "job 1")
    database.dispose()


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "no url at all"])
def test_another_database_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"database\.url"):
        open_engine(url)
