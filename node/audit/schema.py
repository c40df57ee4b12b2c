"""Bringing a database to the schema of this version, and asking which one it has."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydicom.uid import generate_uid
from sqlalchemy import Connection, Engine, insert, select

from node.audit.tables import Installation
from node.database import lock, utc_now
from node.errors import ConfigurationError

_MIGRATIONS = Path(__file__).parent / "migrations"


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine) -> str:
    """Create or migrate our tables; return the installation UID.

    Safe to call from several processes at once: one migrates, the others wait for it.

    Raises:
        ConfigurationError: If the database was written by a newer version.
    """
    with engine.begin() as connection:
        lock(connection, "schema")
        known = {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise ConfigurationError(
                f"the database has schema {current}, which a newer version wrote; upgrade the node"
            )
        command.upgrade(_config(connection), "head")
        uid = connection.scalar(select(Installation.uid))
        if uid is None:
            uid = str(generate_uid(prefix=None))
            connection.execute(insert(Installation).values(id=1, uid=uid, created_at=utc_now()))
    return uid


def revision(engine: Engine) -> str | None:
    """Return the schema revision that the database has, None if it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
