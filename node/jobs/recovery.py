"""Taking over the work of executors that died: leases, and the sweeper that every executor runs.

DBOS gives a dead executor's tasks back only to the next executor of the same name. So every
executor beats a lease, and whoever sees a lease run out puts the tasks that its owner had begun
back into their queues.

A claim on a dead lease is itself a beat: only one sweeper gets it, and if that sweeper dies or
freezes before it has finished, the lease runs out again. No lock is held over calls to DBOS, so
a frozen sweeper stops nobody. An executor that was only frozen and wakes up works on the same
task as its successor: tasks are safe to run twice, because our own tables hold the truth.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine as Database
from sqlalchemy.exc import SQLAlchemyError

from node.audit.tables import Lease
from node.database import read_only, server_now
from node.jobs.clock import ClockWatch
from node.jobs.dbos_engine import DbosEnqueuer
from node.jobs.engine import BegunTask

#: Seconds without a beat after which an executor counts as dead.
TTL_S = 30.0
_BEATS_PER_TTL = 4
#: Seconds over which tasks are spread that a clock that was set back had made late.
_WAKE_S = 30.0
#: Seconds that no task of ours waits: at a start, one that is due later waits for a clock.
_NO_TASK_WAITS_S = 3600.0
_INSERT: dict[str, Callable[[type[Lease]], Any]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about tasks that were begun and are not finished.

    Attributes:
        resume: Tasks of the dead, to be put back into their queues.
        strangers: Executors that have begun tasks and have no lease.
    """

    resume: tuple[BegunTask, ...]
    strangers: frozenset[str]


def judge(begun: Iterable[BegunTask], dead: frozenset[str], known: frozenset[str]) -> Verdict:
    """Decide which begun tasks are taken over: pure."""
    tasks = tuple(begun)
    return Verdict(
        tuple(task for task in tasks if task.executor_id in dead),
        frozenset(task.executor_id for task in tasks) - known - dead,
    )


class Sweeper:
    """One executor's lease, and its eye on the others.

    Args:
        database: Our database.
        engine: Access to the tasks; its own, because it outlives the drain of the executor.
        executor_id: The executor whose lease this is; unique among the living.
        role: `work` or `deliver`; only for people to read.
        ttl_s: Seconds without a beat after which an executor counts as dead.
        clock: Tells when the wall clock was set.
    """

    def __init__(
        self,
        database: Database,
        engine: DbosEnqueuer,
        executor_id: str,
        role: str,
        ttl_s: float,
        clock: ClockWatch | None = None,
    ) -> None:
        self._clock = clock or ClockWatch()
        self._database = database
        self._engine = engine
        self._executor_id = executor_id
        self._role = role
        self._ttl = timedelta(seconds=ttl_s)
        self._beaten_at: datetime | None = None

    def sweep(self) -> int:
        """Beat; then put the tasks of dead executors back into their queues.

        Where the clock was set back, tasks that wait for a time of day are woken first.

        Returns:
            How many tasks were put back.
        """
        self._mind_the_clock()
        now, dead = self._beat_and_claim()
        begun = self._engine.begun()
        with read_only(self._database) as connection:
            known = frozenset(connection.scalars(select(Lease.executor_id)))
        verdict = judge(begun, dead, known)
        for task in verdict.resume:
            self._engine.resume(task)
            _log.warning("resumed %s of the dead executor %s", task.key, task.executor_id)
        # A stranger gets a lease that it must beat from now on: it died before its first beat,
        # or its lease was removed in the moment in which it woke up.
        self._adopt(verdict.strangers, now)
        if dead:
            left = {task.executor_id for task in self._engine.begun()}
            self._remove(dead - left, now)
        return len(verdict.resume)

    def _mind_the_clock(self) -> None:
        if self._clock.jump() < 0:
            woken = self._engine.wake(0.0, _WAKE_S)
            _log.warning("the clock was set back: %d waiting tasks run soon", woken)

    def retire(self) -> None:
        """Let the lease run out at once, so that others take over what was not drained."""
        with self._database.begin() as connection:
            connection.execute(
                update(Lease)
                .where(Lease.executor_id == self._executor_id)
                .values(beat_at=server_now(connection) - 2 * self._ttl)
            )

    def _beat_and_claim(self) -> tuple[datetime, frozenset[str]]:
        with self._database.begin() as connection:
            now = server_now(connection)
            self._beat(connection, now)
            # Who was away for so long itself (frozen, suspended, the clock set) cannot tell
            # whether the others were: they get a round to beat.
            away = self._beaten_at is not None and now - self._beaten_at > self._ttl
            self._beaten_at = now
            if away:
                return now, frozenset()
            # A beat from the future: the clock was set back. Its owner, if alive, soon beats anew.
            connection.execute(
                update(Lease).where(Lease.beat_at > now + self._ttl).values(beat_at=now)
            )
            # The row locks of this UPDATE let only one sweeper have each dead lease.
            claimed = connection.scalars(
                update(Lease)
                .where(Lease.executor_id != self._executor_id, Lease.beat_at < now - self._ttl)
                .values(beat_at=now)
                .returning(Lease.executor_id)
            )
            return now, frozenset(claimed)

    def _beat(self, connection: Connection, now: datetime) -> None:
        values = {"executor_id": self._executor_id, "role": self._role, "beat_at": now}
        statement = _INSERT[connection.dialect.name](Lease).values(values)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[Lease.executor_id], set_={"role": self._role, "beat_at": now}
            )
        )

    def _adopt(self, strangers: Iterable[str], now: datetime) -> None:
        values = [
            {"executor_id": name, "role": "unknown", "beat_at": now} for name in sorted(strangers)
        ]
        if not values:
            return
        with self._database.begin() as connection:
            statement = _INSERT[connection.dialect.name](Lease).values(values)
            connection.execute(statement.on_conflict_do_nothing())

    def _remove(self, executors: Iterable[str], claimed_at: datetime) -> None:
        with self._database.begin() as connection:
            connection.execute(
                delete(Lease).where(
                    Lease.executor_id.in_(sorted(executors)),
                    Lease.beat_at == claimed_at,  # whoever has beaten since is alive
                )
            )


def start_sweeper(
    database: Database, executor_id: str, role: str, ttl_s: float = TTL_S
) -> Callable[[], None]:
    """Beat and sweep in the background; the first beat has been made when this returns.

    Start it before the executor begins tasks, stop it after the executor has drained.

    Args:
        database: Our database.
        executor_id: The executor's name, unique among the living.
        role: `work` or `deliver`.
        ttl_s: Seconds without a beat after which an executor counts as dead.

    Returns:
        What stops it; what the executor then has not finished is taken over at once.
    """
    engine = DbosEnqueuer(database)
    sweeper = Sweeper(database, engine, executor_id, role, ttl_s)
    engine.wake(_NO_TASK_WAITS_S, _WAKE_S)
    sweeper.sweep()
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(ttl_s / _BEATS_PER_TTL):
            try:
                sweeper.sweep()
            except SQLAlchemyError:
                _log.exception("executor %s could not beat its lease; trying again", executor_id)

    thread = threading.Thread(target=run, name="sweeper", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join()
        sweeper.retire()
        engine.close()

    return stop
