"""What `crdl doctor` says of a node: it names what is wrong and changes nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, inspect, text

from node.audit import schema
from node.audit.tables import Job, LedgerSystem
from node.config import Settings, load_settings
from node.database import open_engine, utc_now
from node.jobs.dbos_engine import APPLICATION_VERSION, DbosEnqueuer, migrate
from node.jobs.engine import Task
from node.service import checks_record
from node.service.check import Check
from node.service.checks_machine import check_device, check_permissions
from node.service.checks_record import check_backup, check_clock, check_database
from node.service.supervisor import DataFolderLock
from tests.backup_fixtures import PASSPHRASE, Office
from tests.node_process import crdl

Examine = Callable[[Settings], Iterator[Check]]


@pytest.fixture
def a_node(tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir(mode=0o750)
    return load_settings(None, node={"data_dir": tmp_path / "data"})


def said(check: Examine, settings: Settings, verdict: str) -> str:
    """The lines of one verdict."""
    return "\n".join(one.text for one in check(settings) if one.verdict == verdict)


def test_a_node_that_was_never_started_is_fine_and_stays_untouched(a_node: Settings) -> None:
    assert "made at the first start" in said(check_database, a_node, "ok")
    assert list(check_clock(a_node)) == list(check_backup(a_node)) == []
    assert list(a_node.node.data_dir.iterdir()) == []


def test_an_old_schema_is_named_and_not_migrated(a_node: Settings) -> None:
    office = Office(a_node)
    with office.open().begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    assert "the next start migrates it" in said(check_database, a_node, "warning")
    assert schema.revision(office.open()) == "0005"
    with office.open().begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "newer version" in said(check_database, a_node, "failed")


def test_a_load_that_is_too_much_for_sqlite_is_named(
    a_node: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(a_node)
    office.work(0, 4)
    assert "at most 4 studies" in said(check_database, a_node, "ok")
    monkeypatch.setattr(checks_record, "LONG_QUEUE", 3)
    assert "use PostgreSQL" in said(check_database, a_node, "warning")
    with office.open().begin() as connection:
        connection.execute(
            insert(Job),
            [
                {
                    "seg_uid": f"9.{number}",
                    "generation": 1,
                    "state": "done",
                    "study_instance_uid": "9",
                    "patient_id": "P",
                    "cases": {},
                    "created_at": utc_now() - timedelta(days=8),
                    "updated_at": utc_now(),
                }
                for number in range(9)
            ],
        )
    assert "at most 4 studies" in said(check_database, a_node, "warning")  # not last week's


def test_tasks_that_no_process_of_this_version_runs_are_named(a_node: Settings) -> None:
    database = Office(a_node).open()
    assert "0 tasks wait" in said(check_database, a_node, "ok")
    assert not inspect(database).has_table("workflow_status")  # and were not made by asking
    migrate(database)
    enqueuer = DbosEnqueuer(database)
    for version in ("0", APPLICATION_VERSION):
        enqueuer.version = version
        with database.begin() as connection:
            enqueuer.enqueue(connection, Task("delivery", f"task {version}", (1,)))
    enqueuer.close()
    assert "1 of version 0" in said(check_database, a_node, "warning")


def test_a_clock_that_was_set_back_is_named(a_node: Settings) -> None:
    office = Office(a_node)
    assert "0.0 s from" in said(check_clock, a_node, "ok")
    with office.open().begin() as connection:
        connection.execute(
            insert(LedgerSystem).values(
                at=utc_now() + timedelta(hours=1),
                actor="work",
                event="started",
                subject="work",
                detail={},
            )
        )
    assert "the clock was set back" in said(check_clock, a_node, "failed")


def test_the_age_of_the_last_backup_is_told(a_node: Settings, tmp_path: Path) -> None:
    from node.service.backup import back_up  # noqa: PLC0415

    office = Office(a_node)
    office.work(0, 1)
    assert "there has been none" in said(check_backup, a_node, "warning")
    back_up(a_node, tmp_path / "backup", passphrase=PASSPHRASE)
    assert "0.0 h old" in said(check_backup, a_node, "ok")
    database = open_engine(a_node.database_url)
    with database.begin() as connection:
        connection.execute(text("DROP TRIGGER ledger_system_no_update"))
        connection.execute(
            text("UPDATE ledger_system SET at = :at WHERE event = 'backed-up'"),
            {"at": (utc_now() - timedelta(hours=30)).strftime("%Y-%m-%d %H:%M:%S.%f")},
        )
    assert "30.0 h old" in said(check_backup, a_node, "warning")
    expecting_none = a_node.model_copy(
        update={"backup": a_node.backup.model_copy(update={"maximum_age_hours": 0})}
    )
    assert list(check_backup(expecting_none)) == []


def test_what_others_may_read_is_named(a_node: Settings) -> None:
    office = Office(a_node)
    assert office.sealer
    assert "others may" not in said(check_permissions, a_node, "warning")
    a_node.audit_key.chmod(0o644)
    a_node.node.data_dir.chmod(0o755)
    assert f"others may read {a_node.audit_key}" in said(check_permissions, a_node, "failed")
    assert "others may enter" in said(check_permissions, a_node, "warning")


def test_a_device_that_is_not_there_is_named(a_node: Settings) -> None:
    model = a_node.model.model_copy(update={"device": "cuda:7"})
    asked = a_node.model_copy(update={"model": model})
    assert "cuda:7 is not there" in said(check_device, asked, "failed")
    model = a_node.model.model_copy(update={"device": "cpu"})
    assert list(check_device(a_node.model_copy(update={"model": model})))


def test_the_whole_doctor_by_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = tmp_path / "node.toml"
        config.write_text(
            f'[node]\ndata_dir = "{data}"\nport = {port}\n[web]\nport = 0\n'
            '[[destination]]\nname = "gone"\nae_title = "GONE"\nhost = "127.0.0.1"\nport = 1\n'
        )
        arguments = ("doctor", "--json", "--config", str(config))
        lock = DataFolderLock(data)
        done = crdl(*arguments, check=False)
        lock.release()
    assert done.returncode == 1  # the destination does not answer
    checks = {one["name"]: one for one in json.loads(done.stdout)}
    assert checks["destination gone"]["verdict"] == "failed"
    assert "this node runs" in checks["port dicom"]["text"]
    assert checks["model"]["verdict"] == "warning"
    assert {"disk", "permissions", "database", "device", "tls"} <= set(checks)
    assert not (data / "node.db").exists()
