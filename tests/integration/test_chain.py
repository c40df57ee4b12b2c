"""The record can be proven: whatever raw SQL does to a ledger, `verify` names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from node.audit import schema
from node.audit.chain import Chainer
from node.audit.export import export
from node.audit.query import Question
from node.audit.seal import Sealer
from node.audit.tables import LEDGERS
from node.audit.trail import Trail
from node.audit.verify import Verification, read_heads, signed_head, verify
from node.database import open_engine
from node.errors import ConfigurationError, InputError
from tests.postgres import Postgres, postgres

ROWS = 12
DATABASES = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Postgres]:
    with postgres() as cluster:
        yield cluster


@dataclass
class Record:
    """A database with some rows in every ledger."""

    database: Engine
    sealer: Sealer
    folder: Path

    @property
    def trail(self) -> Trail:
        return Trail("work", self.sealer)

    def write(self, rows: int = ROWS) -> None:
        with self.database.begin() as connection:
            for number in range(rows):
                for ledger in LEDGERS:
                    self.trail.record(
                        connection,
                        ledger,
                        "happened",
                        f"1.2.{number}",
                        {"n": number, "name": "Größe 大", "share": 0.1 + number},
                        study="1.2.3",
                        patient=f"P{number}",
                    )

    def chain(self) -> int:
        return Chainer(self.database, self.sealer).advance()

    def verify(self) -> Verification:
        return verify(self.database, self.sealer)

    def tamper(self, *statements: str) -> None:
        """Run raw SQL as somebody would who owns the database: without the triggers."""
        with self.database.begin() as connection:
            if self.database.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL session_replication_role = replica"))
            else:
                names = connection.execute(
                    text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                ).scalars()
                for name in names.all():
                    connection.execute(text(f"DROP TRIGGER {name}"))
            for statement in statements:
                connection.exec_driver_sql(statement)

    @contextmanager
    def changed(self, table: str, key: str, row: int, column: str, value: str) -> Iterator[None]:
        """One column of one row has another value for a while."""
        with self.database.connect() as connection:
            (before,) = connection.execute(
                text(f"SELECT {column} FROM {table} WHERE {key} = {row}")
            ).one()
        self.tamper(f"UPDATE {table} SET {column} = {value} WHERE {key} = {row}")
        yield
        now = value.replace(column, str(row)) if column == key else str(row)
        with self.database.begin() as connection:
            if self.database.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                if column == "detail":
                    before = json.dumps(
                        before, sort_keys=True, ensure_ascii=False, separators=(",", ":")
                    )
            connection.execute(
                text(f"UPDATE {table} SET {column} = :before WHERE {key} = {now}"),
                {"before": before},
            )


@pytest.fixture
def a_record(kind: str, a_cluster: Postgres, tmp_path: Path) -> Iterator[Record]:
    url = f"sqlite:///{tmp_path / 'node.db'}" if kind == "sqlite" else a_cluster.new_database()
    database = open_engine(url)
    schema.upgrade(database)
    yield Record(database, Sealer.from_file(tmp_path / "audit.key"), tmp_path)
    database.dispose()


@DATABASES
def test_an_untouched_record_is_intact(a_record: Record) -> None:
    a_record.write()
    assert a_record.chain() == ROWS * len(LEDGERS)
    assert a_record.chain() == 0
    found = a_record.verify()
    assert found.intact
    assert (found.rows, found.unchained) == (ROWS * len(LEDGERS), 0)


@DATABASES
def test_rows_that_are_not_chained_yet_are_counted_with_their_age(a_record: Record) -> None:
    a_record.write()
    a_record.chain()
    a_record.write(2)
    found = a_record.verify()
    assert found.intact
    assert found.unchained == 2 * len(LEDGERS)
    assert 0 < found.oldest_unchained_s < 60


COLUMNS = {
    "at": "'2020-01-01 00:00:00.000000'",
    "schema_version": "2",
    "actor": "'nobody'",
    "event": "'other'",
    "subject": "'9.9'",
    "study_instance_uid": "'9.9'",
    "patient_id": "'ELSE'",
    "detail": "'{}'",
    "seal": "'00'",
    "id": "id + 1000",
}


@DATABASES
def test_a_change_of_any_column_is_named(a_record: Record) -> None:
    a_record.write()
    a_record.chain()
    for column, value in COLUMNS.items():
        with a_record.changed("ledger_job", "id", 7, column, value):
            first = a_record.verify().faults[0]
        assert first.where == "job", column
        assert first.kind in {"altered", "inserted", "missing"}, column
        assert first.number in {7, 1007}, column
    assert a_record.verify().intact


@DATABASES
def test_a_removed_row_is_named_in_every_ledger(a_record: Record) -> None:
    a_record.write()
    a_record.chain()
    a_record.tamper(*(f"DELETE FROM ledger_{ledger} WHERE id = 5" for ledger in LEDGERS))
    faults = a_record.verify().faults
    assert {(fault.kind, fault.number) for fault in faults} == {("missing", 5)}
    assert {fault.where for fault in faults} == set(LEDGERS)


@DATABASES
def test_a_row_that_no_process_of_the_node_wrote_is_named(a_record: Record) -> None:
    a_record.write()
    a_record.chain()
    a_record.tamper(
        "INSERT INTO ledger_report SELECT 4000, at, schema_version, actor, event, subject,"
        " study_instance_uid, patient_id, '{}', '' FROM ledger_report WHERE id = 1"
    )
    a_record.chain()
    (fault,) = a_record.verify().faults
    assert (fault.kind, fault.where, fault.number) == ("inserted", "report", 4000)


@DATABASES
def test_a_genuine_row_that_is_written_again_is_named(a_record: Record) -> None:
    a_record.write()
    a_record.chain()
    a_record.tamper(
        "INSERT INTO ledger_report SELECT 4000, at, schema_version, actor, event, subject,"
        " study_instance_uid, patient_id, detail, seal FROM ledger_report WHERE id = 1"
    )
    faults = a_record.verify().faults
    assert [fault.kind for fault in faults] == ["repeated"]
    assert faults[0].where == "report"


LINK_COLUMNS = {
    "ledger": "'case'",
    "row_ids": "row_hashes",
    "row_hashes": "row_ids",
    "previous_sha256": "sha256",
    "sha256": "previous_sha256",
    "seal": "sha256",
    "position": "position + 100",
}


@DATABASES
def test_a_changed_link_breaks_the_chain(a_record: Record) -> None:
    a_record.write()
    a_record.chain()
    for column, value in LINK_COLUMNS.items():
        with a_record.changed("chain", "position", 2, column, value):
            faults = a_record.verify().faults
        assert ("broken link", 2) in {(fault.kind, fault.number) for fault in faults}, column
    assert a_record.verify().intact


@DATABASES
def test_a_chain_rebuilt_without_the_key_is_not_believed(a_record: Record) -> None:
    a_record.write()
    stranger = Sealer(bytes(32))
    Chainer(a_record.database, stranger).advance()  # the first pass adopts nothing it cannot read
    with a_record.database.begin() as connection:
        Trail("work", stranger).record(connection, "job", "forged", "1.2", {})
    Chainer(a_record.database, stranger).advance()
    kinds = {fault.kind for fault in a_record.verify().faults}
    assert "broken link" in kinds


@DATABASES
def test_a_record_cut_at_its_end_is_told_by_a_head_kept_elsewhere(a_record: Record) -> None:
    a_record.write()
    a_record.chain()
    kept = a_record.folder / "heads.jsonl"
    head = signed_head(a_record.database, a_record.sealer)
    assert head is not None
    kept.write_text(head.to_line() + "\n")
    assert verify(a_record.database, a_record.sealer, read_heads(kept)).intact
    last, ledger = len(LEDGERS), list(LEDGERS)[-1]
    a_record.tamper(f"DELETE FROM chain WHERE position = {last}", f"DELETE FROM ledger_{ledger}")
    assert a_record.verify().intact  # nothing inside the database shows it
    (fault,) = verify(a_record.database, a_record.sealer, read_heads(kept)).faults
    assert (fault.kind, fault.number) == ("other head", last)


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_row_committed_late_under_a_low_number_is_chained(a_record: Record) -> None:
    chainer = Chainer(a_record.database, a_record.sealer)
    with a_record.database.begin() as slow:
        a_record.trail.record(slow, "job", "late", "1.2")
        with a_record.database.begin() as quick:
            a_record.trail.record(quick, "job", "early", "1.2")
        assert chainer.advance() == 1
    with a_record.database.connect() as connection:
        connection.execute(text("SELECT nextval('ledger_job_id_seq')"))  # rolled back for ever
    a_record.write(1)
    assert chainer.advance() == 1 + len(LEDGERS)
    again = Chainer(a_record.database, a_record.sealer)  # as after a restart
    assert again.advance() == 0
    assert a_record.verify().intact


@DATABASES
def test_rows_from_before_there_were_seals_are_adopted_once(a_record: Record) -> None:
    with a_record.database.begin() as connection:
        Trail("work").record(connection, "job", "old", "1.2")
    assert a_record.chain() == 1
    assert a_record.verify().intact
    with a_record.database.begin() as connection:
        Trail("work").record(connection, "job", "unsealed", "1.2")
    assert a_record.chain() == 0
    assert [fault.kind for fault in a_record.verify().faults] == ["inserted"]


@DATABASES
def test_two_chainers_share_the_work(a_record: Record) -> None:
    first, second = (Chainer(a_record.database, a_record.sealer) for _ in range(2))
    for chainer in (first, second, first, second):
        a_record.write(3)
        assert chainer.advance() == 3 * len(LEDGERS)
    assert a_record.verify().intact


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", ["sqlite"])
def test_the_record_is_exported_whole(a_record: Record, form: str) -> None:
    a_record.write()
    out = a_record.folder / f"audit.{form}"
    asked = Question(ledgers=("job", "case"), patient="P3")
    assert export(a_record.database, asked, out, form) == 2
    if form == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert {row["patient"] for row in rows} == {"P3"}
        assert rows[0]["detail"] == {"n": 3, "name": "Größe 大", "share": 3.1}
    elif form == "csv":
        assert out.read_text().splitlines()[0].startswith("ledger,id,at,actor")
    else:
        import pyarrow.parquet as pq  # noqa: PLC0415 - in this case only

        assert pq.read_table(out).num_rows == 2
    with pytest.raises(InputError, match="never overwrites"):
        export(a_record.database, asked, out, form)


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "audit.key"
    first, second = Sealer.from_file(path), Sealer.from_file(path)
    assert first == second
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert "key" not in repr(first)


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    path.write_text("secret\n")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Sealer.from_file(path)
    shutil.rmtree(tmp_path)
