"""A scratch PostgreSQL: a cluster of its own on a free port, gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from node.bench.harness.ports import LOOPBACK, free_ports
from node.bench.harness.programs import POSTGRES_USER, HarnessError, find

_START_S = 60.0
_STOP_S = 30.0


class Postgres:
    """A cluster that trusts everybody on the loopback, with fsync on.

    It can be killed and started again on its folder and port, as after a power loss. On another
    `host` it trusts everybody in that address's network (/24).
    """

    def __init__(self, programs: Path, port: int, folder: Path, host: str = LOOPBACK) -> None:
        self.port = port
        self.host = host
        self.folder = folder
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the address of one of its databases, as SQLAlchemy wants it."""
        return f"postgresql+psycopg://{POSTGRES_USER}@{self.host}:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database; return its address."""
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run a statement outside any transaction."""
        with self._connect() as connection:
            connection.execute(statement.encode())

    def create(self) -> None:
        """Make the cluster's files.

        Raises:
            HarnessError: If that fails.
        """
        made = self._run(
            *("initdb", "--pgdata", str(self._data), "--username", POSTGRES_USER),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if made.returncode != 0:
            raise HarnessError(f"PostgreSQL cannot make a cluster: {made.stderr[-500:]}")
        if self.host != LOOPBACK:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self.host}/24 trust\n")

    def start(self) -> None:
        """Start the server and wait until it answers; after `kill` it recovers first.

        Raises:
            HarnessError: If it does not come up.
        """
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the installed program
                [
                    self._programs / "postgres",
                    *("-D", self._data, "-p", str(self.port), "-k", self.folder),
                    *("-c", f"listen_addresses={self.host}", "-c", "fsync=on"),
                    *("-c", "max_connections=200"),
                ],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                **_demoted(),
            )
        end = time.monotonic() + _START_S
        while self._process.poll() is None and time.monotonic() < end:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise HarnessError(f"PostgreSQL did not start: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL the server: its processes end at once and nothing is written any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(_STOP_S)
            self._process = None

    def stop(self) -> None:
        """Stop the server without a checkpoint; what was committed is in its log."""
        if self._process is not None:
            self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate", "-w")
            self._process.wait(_STOP_S)
            self._process = None

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            f"host={self.host} port={self.port} user={POSTGRES_USER} dbname=postgres",
            autocommit=True,
        )

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command: Sequence[str | Path] = [self._programs / program, *arguments]
        return subprocess.run(  # noqa: S603 - the installed program
            command, cwd=self.folder, capture_output=True, text=True, check=False, **_demoted()
        )


@contextmanager
def postgres(*, host: str = LOOPBACK) -> Iterator[Postgres]:
    """A running cluster; its folder is readable by its user, unlike a folder of ours.

    Args:
        host: The address that it listens on, of this machine.

    Raises:
        MissingPeerError: Without PostgreSQL's server programs.
        HarnessError: If it does not start.
    """
    programs = find("postgresql")
    (port,) = free_ports(1)
    folder = Path(tempfile.mkdtemp(prefix="crdl-postgres-"))
    if _demoted():
        shutil.chown(folder, POSTGRES_USER, POSTGRES_USER)
    peer = Postgres(programs, port, folder, host)
    try:
        peer.create()
        peer.start()
        yield peer
    finally:
        peer.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _demoted() -> dict[str, Any]:
    """As whom to run: the server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": POSTGRES_USER, "group": POSTGRES_USER, "extra_groups": []}
