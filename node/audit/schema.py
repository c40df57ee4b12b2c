"""Bringing a database to the schema of this version, and asking which one it has."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, insert, inspect, select, text

from node.audit.tables import Installation
from node.database import lock, read_only, utc_now
from node.errors import ConfigurationError

_MIGRATIONS = Path(__file__).parent / "migrations"


def known_revisions() -> tuple[str, ...]:
    """Return the revisions of this version, oldest first: the files' names begin with them."""
    return tuple(sorted(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")))


def revision(engine: Engine) -> str | None:
    """Return the schema revision that the database has, None if it is empty."""
    with read_only(engine) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def upgrade(engine: Engine) -> str:
    """Create or migrate our tables; return the installation UID.

    Safe to call from several processes at once: one migrates, the others wait for it.

    Raises:
        ConfigurationError: If the database was written by a newer version.
    """
    current = revision(engine)
    if current is not None and current not in known_revisions():
        raise ConfigurationError(
            f"the database has schema {current}, which a newer version wrote; upgrade the node"
        )
    if current == known_revisions()[-1]:
        with read_only(engine) as connection:
            installed: str | None = connection.scalar(select(Installation.uid))
        if installed is not None:
            return installed
    return _migrate(engine)


def _migrate(engine: Engine) -> str:
    from alembic import command  # noqa: PLC0415 - slow to import, and seldom needed
    from alembic.config import Config  # noqa: PLC0415

    with engine.begin() as connection:
        lock(connection, "schema")
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        uid: str | None = connection.scalar(select(Installation.uid))
        if uid is None:
            uid = f"2.25.{uuid4().int}"  # PS3.5 section B.2
            connection.execute(insert(Installation).values(id=1, uid=uid, created_at=utc_now()))
    return uid
