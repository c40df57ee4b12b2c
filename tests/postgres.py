"""A scratch PostgreSQL for tests; without one they are skipped by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from node.bench import harness
from node.bench.harness import Postgres
from tests.peers import require

__all__ = ["Postgres", "postgres"]


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running cluster of its own."""
    require("postgresql")
    with harness.postgres() as peer:
        yield peer
