"""The eye on the lines before destinations that are down: nobody is forgotten there.

Whoever was let out of a line lets the next ones out. Should that chain break (a task that was given
up, a clock that was set back), nobody would move; and a destination that is gone for good would
keep its line for good. So every sender looks from time to time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.engine import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from node.audit.tables import CircuitRow, Delivery, InLine
from node.audit.trail import Trail
from node.database import lock, read_only, utc_now
from node.errors import JobError
from node.jobs import states
from node.jobs.circuit import PACE, Pace
from node.jobs.clock import ClockWatch
from node.jobs.delivering import close_job
from node.jobs.dispatching import OPEN
from node.jobs.engine import Enqueuer
from node.jobs.outage import Outages

_EVERY_S: Final = 20.0
#: Longer than any attempt: whoever was let out and has not come back after this is lost.
_LOST_S: Final = 15 * 60.0
_BATCH: Final = 200
_DISTRUST_S: Final = 86_400.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutageWatch:
    """Looks at every line; any number of processes may."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer
    pace: Pace = PACE
    lost_s: float = _LOST_S
    clock: ClockWatch = field(default_factory=ClockWatch)

    def look(self) -> int:
        """Set lines going that stand still, give up who has waited too long; return how many."""
        for destination in self._standing_still():
            self._set_going(destination)
        if not self.clock.trusted(_DISTRUST_S):  # days may have gone by that were none
            return 0
        return sum(self._give_up(*who) for who in self._impatient())

    def _standing_still(self) -> list[str]:
        """Destinations with a line out of which nobody is on the way, by any clock."""
        now, patience = utc_now(), timedelta(seconds=self.lost_s)
        going = (
            select(func.count())
            .select_from(InLine)
            .where(
                InLine.destination == CircuitRow.destination,
                InLine.ticket == CircuitRow.round,
                InLine.due_at > now - patience,
                InLine.due_at < now + patience,  # else the clock was set back
            )
            .scalar_subquery()
        )
        anybody = select(InLine.job_id).where(InLine.destination == CircuitRow.destination).exists()
        query = select(CircuitRow.destination).where(anybody, going == 0)
        with read_only(self.database) as connection:
            return list(connection.scalars(query))

    def _set_going(self, destination: str) -> None:
        with self.database.begin() as connection:
            lock(connection, f"line of {destination}")
            Outages(self.trail, self.enqueuer, self.pace).probe_anew(connection, destination)
        _log.warning("the line before %s stood still; one goes to see", destination)

    def _impatient(self) -> list[tuple[int, str]]:
        since = utc_now() - timedelta(seconds=self.pace.patience_s)
        query = (
            select(InLine.job_id, InLine.destination)
            .where(InLine.since < since)
            .order_by(InLine.since)
            .limit(_BATCH)
        )
        with read_only(self.database) as connection:
            return [(row.job_id, row.destination) for row in connection.execute(query)]

    def _give_up(self, job_id: int, destination: str) -> bool:
        """Make the delivery dead, as a person sees it; a retry begins anew."""
        outages = Outages(self.trail, self.enqueuer, self.pace)
        with self.database.begin() as connection:
            try:
                job = states.hold(connection, job_id)
            except JobError:
                return False
            left = outages.leave(connection, job_id, destination)
            if not left or job.state != "delivering":
                return False
            days = self.pace.patience_s / 86_400
            connection.execute(
                update(Delivery)
                .where(
                    Delivery.job_id == job_id,
                    Delivery.destination == destination,
                    Delivery.state.in_(sorted(OPEN)),
                )
                .values(
                    state="dead",
                    last_error=f"{destination} was down for {days:g} days",
                    updated_at=utc_now(),
                )
            )
            close_job(connection, self.trail, job)
            return True


def start_outage_watch(watch: OutageWatch) -> Callable[[], None]:
    """Look at once and then every 20 seconds, in the background; return what stops it."""
    stopped = threading.Event()

    def run() -> None:
        while True:
            try:
                watch.look()
            except SQLAlchemyError as error:
                # Its text would show the row, and a row names the patient.
                _log.error("the lines could not be looked at: %s", type(error).__name__)
            if stopped.wait(_EVERY_S):
                return

    thread = threading.Thread(target=run, name="outages", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join()

    return stop
