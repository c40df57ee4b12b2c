"""Databases as earlier versions of the node left them."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from node.audit import schema


def upgrade_to(database: Engine, revision: str) -> None:
    """Bring an empty database to the schema of an earlier version."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
