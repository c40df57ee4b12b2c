"""One consistent picture of the database, while the node goes on writing.

SQLite gives it by its backup interface, in one step. PostgreSQL gives it by pg_dump on a snapshot
that a transaction of ours exported, so that the blobs are asked of the very rows that are dumped.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url

from node.service.backup.errors import BackupError

SQLITE_FILE = "database.sqlite"
POSTGRES_FILE = "database.pgdump"


@dataclass(frozen=True, slots=True)
class Dump:
    """The database's picture: a file, and a connection that sees the same rows."""

    path: Path
    rows: Connection


@contextmanager
def dumped(database: Engine, folder: Path) -> Iterator[Dump]:
    """Take the picture into `folder`, an empty scratch folder.

    Raises:
        BackupError: The database or its client program refuses.
    """
    if database.dialect.name == "sqlite":
        with _dumped_sqlite(database, folder / SQLITE_FILE) as dump:
            yield dump
    else:
        with _dumped_postgres(database, folder / POSTGRES_FILE) as dump:
            yield dump


@contextmanager
def _dumped_sqlite(database: Engine, path: Path) -> Iterator[Dump]:
    source = str(database.url.database)
    try:
        with (
            closing(sqlite3.connect(source, timeout=30)) as live,
            closing(sqlite3.connect(path)) as copy,
        ):
            live.backup(copy)  # all pages in one step: nobody's write falls between two
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it
            (verdict,) = copy.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"the database {source} cannot be copied: {error}") from error
    if verdict != "ok":
        raise BackupError(f"the database {source} is damaged: {verdict}")
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&immutable=1&uri=true")
    try:
        with engine.connect() as rows:
            yield Dump(path, rows)
    finally:
        engine.dispose()


@contextmanager
def _dumped_postgres(database: Engine, path: Path) -> Iterator[Dump]:
    program = client_program("pg_dump")
    with database.connect().execution_options(isolation_level="REPEATABLE READ") as rows:
        # It waits for pg_dump and for the blobs; ours are otherwise ended when they do nothing.
        rows.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        snapshot = rows.scalar(text("SELECT pg_export_snapshot()"))
        arguments = [program, "--format=custom", "--no-owner", "--no-privileges"]
        run_client([*arguments, f"--snapshot={snapshot}", f"--file={path}"], _address(database))
        yield Dump(path, rows)
        rows.rollback()


def load_postgres(dump: Path, url: str, installation_uid: str) -> None:
    """Load a dump into an empty database and give it its own UID: all or nothing.

    Raises:
        BackupError: Either program refuses; the database is as it was.
    """
    restore, client = client_program("pg_restore"), client_program("psql")
    environment = _environment(url)
    reader = subprocess.Popen(  # noqa: S603 - PostgreSQL's own program
        [restore, "--no-owner", "--no-privileges", "--file=-", str(dump)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    writer = subprocess.Popen(  # noqa: S603 - same
        [client, "--single-transaction", "--set=ON_ERROR_STOP=1", "--quiet", "--no-psqlrc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )
    if reader.stdout is None or writer.stdin is None:
        raise BackupError("pg_restore and psql have no pipe")
    try:
        shutil.copyfileobj(reader.stdout, writer.stdin)
        if reader.wait() != 0:
            writer.kill()  # before the end of its input, which would commit
            raise BackupError(f"pg_restore failed: {_last_line(reader.stderr)}")
        # The dump leaves search_path empty.
        writer.stdin.write(
            f"\nUPDATE public.installation SET uid = '{installation_uid}';\n".encode()
        )
        writer.stdin.close()
    except BrokenPipeError:
        reader.kill()
    finally:
        status = writer.wait()
        reader.wait()
    if status != 0:
        raise BackupError(f"the dump cannot be loaded: {_last_line(writer.stderr)}")


def client_program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs.

    Raises:
        BackupError: It is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"{name} is missing: install the client of your PostgreSQL's version")
    return found


def run_client(command: Sequence[str], url: str) -> None:
    """Run one of PostgreSQL's programs; the password goes by environment, seen by nobody.

    Raises:
        BackupError: It failed; its last line says why.
    """
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own program
        list(command), env=_environment(url), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise BackupError(f"{Path(command[0]).name} failed: {lines[0]}")


def _address(database: Engine) -> str:
    return database.url.render_as_string(hide_password=False)


def _environment(url: str) -> dict[str, str]:
    """Return libpq's environment for a database's address."""
    parsed = make_url(url)
    named = {
        "PGHOST": parsed.host or parsed.query.get("host"),
        "PGPORT": parsed.port,
        "PGUSER": parsed.username,
        "PGPASSWORD": parsed.password,
        "PGDATABASE": parsed.database,
        "PGSSLMODE": parsed.query.get("sslmode"),
        "PGSSLROOTCERT": parsed.query.get("sslrootcert"),
    }
    return os.environ | {name: str(value) for name, value in named.items() if value}


def _last_line(stream: object) -> str:
    text_of = getattr(stream, "read", lambda: b"")()
    lines = [line for line in text_of.decode(errors="replace").splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
