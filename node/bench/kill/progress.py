"""How far a node has come, asked of its database while that may be down."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from node.audit.tables import Job
from node.bench.harness import HarnessError
from node.database import read_only

_ENDED = ("done", "refused", "held", "dead")
_SETTLE_S = 900.0


@dataclass
class Progress:
    """Counts jobs; while the database is down the last count stands."""

    database: Engine
    last: int = 0

    def ended(self) -> int:
        """Return how many jobs have an outcome."""
        query = select(func.count()).select_from(Job).where(Job.state.in_(_ENDED))
        try:
            with read_only(self.database) as connection:
                self.last = connection.scalar(query) or 0
        except SQLAlchemyError:
            self.database.dispose()
        return self.last

    def settle(self, jobs: int, timeout_s: float = _SETTLE_S) -> None:
        """Wait until so many jobs have an outcome.

        Raises:
            HarnessError: If that is not so in time; the message counts the states.
        """
        deadline = time.monotonic() + timeout_s
        while self.ended() < jobs:
            if time.monotonic() > deadline:
                raise HarnessError(f"{self.last} of {jobs} jobs have an outcome: {self._states()}")
            time.sleep(0.5)

    def _states(self) -> dict[str, int]:
        query = select(Job.state, func.count().label("number")).group_by(Job.state)
        with read_only(self.database) as connection:
            return {row.state: row.number for row in connection.execute(query)}
