"""Asking the ledgers: by patient, study, time, event and ledger, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from node.audit import schema
from node.audit.query import Question, ask
from node.audit.tables import LEDGERS, Base
from node.audit.trail import Trail
from node.database import open_engine, utc_now
from node.errors import ConfigurationError, InputError


@pytest.fixture
def a_database(tmp_path: Path) -> Iterator[Engine]:
    database = open_engine(f"sqlite:///{tmp_path / 'node.db'}")
    schema.upgrade(database)
    yield database
    database.dispose()


@pytest.fixture
def an_audit(a_database: Engine) -> Engine:
    with a_database.begin() as connection:
        receiver, person = Trail("receive"), Trail("person:ann")
        receiver.record(connection, "instance", "received", "1.1", study="1.2", patient="P1")
        receiver.record(connection, "instance", "received", "2.1", study="2.2", patient="P2")
        person.record(connection, "job", "retried", "1.1/1", {"job": 1}, study="1.2", patient="P1")
    return a_database


@pytest.mark.parametrize(
    ("question", "subjects"),
    [
        (Question(), ["1.1", "2.1", "1.1/1"]),
        (Question(patient="P1"), ["1.1", "1.1/1"]),
        (Question(study="2.2"), ["2.1"]),
        (Question(event="retried"), ["1.1/1"]),
        (Question(actor="person:ann"), ["1.1/1"]),
        (Question(ledgers=["instance"]), ["1.1", "2.1"]),
        (Question(limit=1), ["1.1/1"]),
        (Question(since=utc_now() + timedelta(hours=1)), []),
        (Question(until=utc_now() - timedelta(hours=1)), []),
    ],
)
def test_the_audit_answers(an_audit: Engine, question: Question, subjects: list[str]) -> None:
    assert [row["subject"] for row in ask(an_audit, question)] == subjects


def test_an_unknown_ledger_is_named(an_audit: Engine) -> None:
    with pytest.raises(InputError, match="no ledger 'secrets'"):
        ask(an_audit, Question(ledgers=["secrets"]))


@pytest.mark.parametrize("ledger", sorted(LEDGERS))
def test_no_ledger_row_can_be_changed_or_removed(a_database: Engine, ledger: str) -> None:
    with a_database.begin() as connection:
        Trail("test").record(connection, ledger, "noted", "x")  # type: ignore[arg-type]
    table = f"ledger_{ledger}"
    for statement in (
        f"UPDATE {table} SET actor = 'nobody'",
        f"DELETE FROM {table}",
        f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
    ):
        with pytest.raises(DatabaseError, match="append-only"), a_database.begin() as connection:
            connection.execute(text(statement))


def test_the_migrations_make_the_tables_that_the_code_describes(a_database: Engine) -> None:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    with a_database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_upgrading_twice_keeps_the_installation(a_database: Engine) -> None:
    assert schema.upgrade(a_database) == schema.upgrade(a_database)


def test_a_database_of_a_newer_version_is_refused(a_database: Engine) -> None:
    with a_database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="newer version"):
        schema.upgrade(a_database)


def test_every_migration_has_a_number_of_its_own_and_follows_the_one_before() -> None:
    folder = Path(schema.__file__).parent / "migrations" / "versions"
    numbers = sorted(path.name[:4] for path in folder.glob("*.py"))
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    for path in folder.glob("*.py"):
        text, number = path.read_text(encoding="utf-8"), int(path.name[:4])
        assert f'\nrevision = "{number:04}"' in text
        before = f'"{number - 1:04}"' if number > 1 else "None"
        assert f"\ndown_revision = {before}" in text
