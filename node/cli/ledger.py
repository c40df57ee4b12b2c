"""The configured node's database and ledger, as a command opens them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from node.audit import schema
from node.audit.seal import Sealer
from node.config import load_settings
from node.database import open_engine


@contextmanager
def open_ledger(config: Path | None) -> Iterator[tuple[Engine, Sealer]]:
    """Open the database in the newest schema, with the key that seals its ledger rows."""
    settings = load_settings(config)
    database = open_engine(settings.database_url)
    try:
        schema.upgrade(database)
        yield database, Sealer.from_file(settings.audit_key)
    finally:
        database.dispose()
