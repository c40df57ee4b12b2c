"""A scratch PostgreSQL for tests: a cluster of its own on a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.peers import free_ports

_DEBIAN = Path("/usr/lib/postgresql")
_USER = "postgres"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running cluster that trusts everybody on the loopback."""

    port: int
    folder: Path

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases, as SQLAlchemy wants it."""
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database; return its address."""
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run a statement outside any transaction."""
        with self._connect() as connection:
            connection.execute(statement.encode())

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            f"host=127.0.0.1 port={self.port} user={_USER} dbname=postgres", autocommit=True
        )


def require_postgres() -> Path:
    """Return the folder of the server's programs; without them skip by name, or fail in CI."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(_DEBIAN.glob("*/bin"))
    if folders and (os.geteuid() != 0 or _has_user()):
        return folders[-1]
    if os.environ.get("CI") == "true":
        pytest.fail("the peer postgresql is missing")
    pytest.skip("the peer postgresql is missing")


def _has_user() -> bool:
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        return False
    return True


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running cluster with fsync on; its folder is readable by its user, unlike pytest's."""
    programs = require_postgres()
    (port,) = free_ports(1)
    folder = Path(tempfile.mkdtemp(prefix="crdl-postgres-"))
    # The server refuses to run as root.
    demoted = {"user": _USER, "group": _USER, "extra_groups": []} if os.geteuid() == 0 else {}
    if demoted:
        shutil.chown(folder, _USER, _USER)
    data, log = folder / "data", folder / "log"
    create = subprocess.run(
        [
            programs / "initdb",
            *("--pgdata", data, "--username", _USER, "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **demoted,
    )
    assert create.returncode == 0, create.stdout + create.stderr
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                programs / "postgres",
                *("-D", data, "-p", str(port), "-k", folder),
                *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=on"),
                *("-c", "max_connections=200"),
            ],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            **demoted,
        )
    peer = Postgres(port, folder)
    try:
        _wait_for(peer, process, log)
        yield peer
    finally:
        subprocess.run(
            [programs / "pg_ctl", "stop", "-D", data, "-m", "immediate", "-w"],
            cwd=folder,
            capture_output=True,
            check=False,
            **demoted,
        )
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(peer: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            peer.execute("SELECT 1")
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
