"""Proving a large record outlasts what the database grants an idle transaction."""

from __future__ import annotations

import time

from sqlalchemy import text

from node.audit.verify import _stay
from node.database import open_engine, read_only
from tests.postgres import postgres


def test_a_proof_may_be_idle_for_longer_than_others() -> None:
    with postgres() as cluster:
        database = open_engine(cluster.new_database())
        with read_only(database) as connection:
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 300"))
            _stay(connection)
            time.sleep(0.6)
            assert connection.scalar(text("SELECT 1")) == 1
        database.dispose()
