"""A database of the first released schema under the code of today: no row is lost or changed."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, MetaData, Table, insert, select, text
from sqlalchemy.exc import DatabaseError

from node.audit import schema
from node.audit.chain import Chainer
from node.audit.seal import Sealer
from node.audit.tables import LEDGERS, Base
from node.audit.trail import Trail
from node.audit.verify import verify
from node.config import load_settings
from node.database import UtcDateTime, open_engine
from node.jobs.dbos_engine import migrate
from node.service.backup import back_up, restore
from tests.postgres import Postgres, postgres

ROWS: dict[str, list[dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parents[1] / "schemas" / "first_schema.toml").read_text(encoding="utf-8")
)
REVISIONS = schema.known_revisions()


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Postgres]:
    with postgres() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def an_old_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The first schema, filled as a node of that version filled it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'data' / 'node.db'}"
    else:
        url = request.getfixturevalue("a_cluster").new_database()
    database = open_engine(url)
    step(database, "0001")
    with database.begin() as connection:
        for name, table in tables(database).items():
            for row in ROWS.get(name, ()):
                connection.execute(insert(table).values(**row))
            if request.param == "postgresql" and name not in {"installation", "association"}:
                _count_on(connection, table)
    yield database
    database.dispose()


def _count_on(connection: Connection, table: Table) -> None:
    """The fixture numbers its rows itself: the next one follows them."""
    if "id" in table.columns:
        name = table.name
        sequence = f"pg_get_serial_sequence('{name}', 'id')"
        connection.execute(text(f"SELECT setval({sequence}, max(id)) FROM {name}"))


def step(database: Engine, revision: str) -> None:
    """Bring a database to a revision, as an upgrade to that version did."""
    with database.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(schema._MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def tables(database: Engine) -> dict[str, Table]:
    """The tables as they are, in the order of their foreign keys, with our kind of time."""
    metadata = MetaData()
    metadata.reflect(database)
    for table in metadata.tables.values():
        for column in table.columns:
            if column.name.endswith("_at") or column.name == "at":
                column.type = UtcDateTime()
    return {table.name: table for table in metadata.sorted_tables}


def kept(database: Engine, table: Table) -> list[dict[str, Any]]:
    """The rows of a table, in the order of the fixture, without what later versions added."""
    name = table.name
    with database.connect() as connection:
        found = [dict(row) for row in connection.execute(select(table)).mappings()]
    keys = [column.name for column in table.primary_key]
    found.sort(key=lambda row: [row[key] for key in keys])
    wanted = sorted(ROWS[name], key=lambda row: [row[key] for key in keys])
    assert len(found) == len(wanted), name
    return [
        {key: plain(row[key], old[key]) for key in old}
        for row, old in zip(found, wanted, strict=True)
    ]


def plain(value: Any, like: Any) -> Any:
    """SQLite reflects a JSON column as JSON or as text, as it was declared."""
    return json.loads(value) if isinstance(value, str) and isinstance(like, dict) else value


def test_an_upgrade_keeps_every_row_and_every_value(an_old_database: Engine) -> None:
    """Version by version, as a site that never skips one; then the database works as a new one."""
    assert set(tables(an_old_database)) - {"alembic_version"} == set(ROWS)
    for revision in REVISIONS[1:]:
        step(an_old_database, revision)
        with an_old_database.connect() as connection:
            for name, rows in ROWS.items():
                count = connection.execute(text(f"SELECT count(*) FROM {name}")).scalar()
                assert count == len(rows), (revision, name)
    assert schema.upgrade(an_old_database) == ROWS["installation"][0]["uid"]
    there = tables(an_old_database)
    assert set(Base.metadata.tables) <= set(there)
    for name, rows in ROWS.items():
        keys = [column.name for column in there[name].primary_key]
        wanted = sorted(rows, key=lambda row: [row[key] for key in keys])
        assert kept(an_old_database, there[name]) == wanted, name
    _is_guarded(an_old_database)
    _answers(an_old_database)


def _is_guarded(database: Engine) -> None:
    for name in (name for name in ROWS if name.startswith("ledger_")):
        with pytest.raises(DatabaseError), database.begin() as connection:
            connection.execute(text(f"UPDATE {name} SET actor = 'x'"))


def _answers(database: Engine) -> None:
    with database.connect() as connection:
        row = connection.execute(text("SELECT * FROM v_case")).mappings().one()
        assert (row["case_name"], row["report_uid"]) == ("1.2.826.1.2#1", "2.25.4711")
        assert connection.execute(text("SELECT count(*) FROM v_study_timeline")).scalar()
        needed = connection.execute(text("SELECT * FROM job_instance")).all()
    assert {(1, "1.2.826.1.1"), (1, "1.2.826.1.2"), (2, "1.2.826.2.1")} <= {
        (row.job_id, row.sop_instance_uid) for row in needed
    }


def test_rows_from_before_the_seals_are_counted_and_fixed_by_the_chain(
    an_old_database: Engine, tmp_path: Path
) -> None:
    """And one that comes behind a sealed row is told, before the chain's first link and after."""
    old = sum(len(rows) for name, rows in ROWS.items() if name.startswith("ledger_"))
    schema.upgrade(an_old_database)
    sealer = Sealer.from_file(tmp_path / "audit.key")
    before = verify(an_old_database, sealer)
    assert before.intact
    assert (before.unsealed, before.unchained, before.rows) == (old, old, 0)
    with an_old_database.begin() as connection:  # the new version's first row
        Trail("receive", sealer).record(connection, "job", "queued", "1.2.826.9/1")
    with an_old_database.connect() as connection:
        Trail("somebody").record(connection, "job", "forged", "1.2.826.9/1")
        connection.commit()
    (fault,) = verify(an_old_database, sealer).faults
    assert (fault.kind, fault.where) == ("inserted", "job")
    _forget(an_old_database, fault.number)
    assert Chainer(an_old_database, sealer).advance() == old + 1
    after = verify(an_old_database, sealer)
    assert after.intact
    assert (after.unsealed, after.unchained, after.rows) == (old, 0, old + 1)
    with an_old_database.begin() as connection:
        Trail("somebody").record(connection, "job", "forged", "1.2.826.9/1")
    assert [fault.kind for fault in verify(an_old_database, sealer).faults] == ["inserted"]


def _forget(database: Engine, number: int) -> None:
    """Take a forged row away again, as somebody would who owns the database."""
    with database.begin() as connection:
        if database.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            connection.execute(text("DROP TRIGGER ledger_job_no_delete"))
        connection.execute(text(f"DELETE FROM ledger_job WHERE id = {number}"))


def test_a_backup_of_the_first_version_restores_under_this_one(
    an_old_database: Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The backup is taken by the new software before its first start: it migrates nothing."""
    url = an_old_database.url.render_as_string(hide_password=False)
    old = load_settings(None, node={"data_dir": tmp_path / "data"}, database={"url": url})
    Sealer.from_file(old.audit_key)
    made = back_up(old, tmp_path / "backup", passphrase=b"correct horse battery")
    assert schema.revision(an_old_database) == made.manifest.schema == "0001"
    assert len(made.manifest.lacking) == 5  # the fixture has rows and no files
    if an_old_database.dialect.name == "sqlite":
        url = f"sqlite:///{tmp_path / 'new' / 'node.db'}"
    else:
        url = request.getfixturevalue("a_cluster").new_database()
    (tmp_path / "new").mkdir()
    new = load_settings(None, node={"data_dir": tmp_path / "new"}, database={"url": url})
    restored = restore(new, tmp_path / "backup", passphrase=b"correct horse battery")
    assert restored.verification.intact
    database = open_engine(url)
    assert schema.revision(database) == REVISIONS[-1]
    migrate(database)
    there = tables(database)
    for name in set(ROWS) - {"installation", "ledger_system"}:
        assert len(kept(database, there[name])) == len(ROWS[name])
    database.dispose()


def test_every_ledger_of_the_first_schema_is_still_one() -> None:
    old = {name.removeprefix("ledger_") for name in ROWS if name.startswith("ledger_")}
    assert old <= set(LEDGERS)
