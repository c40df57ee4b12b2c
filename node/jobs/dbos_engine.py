"""The engine on DBOS: tasks are durable workflows of one step in our own database.

Rules that cost days to learn (DESIGN section 5): the enqueue joins the caller's transaction;
executor ids are stable, because DBOS recovers only its own; the application version is pinned,
because an unpinned one hashes the source and orphans every task at an upgrade.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig
from sqlalchemy import Connection, Engine, column, func, inspect, select, table, text

from node.database import IDLE_TRANSACTION_S, lock_key, read_only
from node.jobs.engine import QUEUES, BegunTask, Handler, Lane, Queue, Task

APPLICATION_VERSION = "1"  # raised when the arguments of a task change their meaning
_NAME = "crdl-node"
_POLL_S = 0.05
_UNFINISHED = ("ENQUEUED", "DELAYED", "PENDING")
_MIGRATION_POLL_S = 0.2
_DATABASE_ATTEMPTS = 12  # the waits double from 0.5 s: a quarter of an hour
_CLIENT_CONNECTIONS = 2  # enqueueing uses the caller's connection

_log = logging.getLogger(__name__)


def migrate(engine: Engine) -> None:
    """Create or migrate the engine's own tables; of several processes one does it at a time."""
    with _one_at_a_time(engine):
        DBOS.migrate(_url(engine))


@contextmanager
def _one_at_a_time(engine: Engine) -> Iterator[None]:
    """Hold a lock that outlives transactions: DBOS migrates on connections of its own."""
    if engine.dialect.name == "postgresql":
        # DBOS creates indexes CONCURRENTLY, which waits for every open transaction and running
        # statement, also for those that wait for DBOS: so autocommit, and ask instead of wait.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            key = {"key": lock_key("engine schema")}
            while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key):
                time.sleep(_MIGRATION_POLL_S)
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
        return
    with Path(f"{engine.url.database}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def _client(engine: Engine) -> DBOSClient:
    # PostgreSQL engines are not shared: DBOS wants its own pool settings there.
    shared = engine if engine.dialect.name == "sqlite" else None
    return DBOSClient(
        system_database_url=_url(engine),
        system_database_engine=shared,
        system_database_pool_size=_CLIENT_CONNECTIONS,
        sys_db_idle_transaction_timeout_sec=IDLE_TRANSACTION_S,
    )


def unfinished_by_version(engine: Engine) -> dict[str, int]:
    """Return how many tasks of our queues are not finished, by application version.

    Reads only: a database that the engine has not used yet stays as it is, and has none.
    """
    schema = "dbos" if engine.dialect.name == "postgresql" else None
    tasks = table(
        "workflow_status", *map(column, ("application_version", "status", "name")), schema=schema
    )
    if not inspect(engine).has_table(tasks.name, schema=schema):
        return {}
    query = (
        select(tasks.c.application_version, func.count())
        .where(tasks.c.status.in_(_UNFINISHED), tasks.c.name.in_(QUEUES))
        .group_by(tasks.c.application_version)
    )
    with read_only(engine) as connection:
        return {version or "": count for version, count in connection.execute(query)}


class DbosEnqueuer:
    """Puts tasks into the queues; enough for the receiver, the web and the commands.

    Attributes:
        version: Of what a task's arguments mean; only executors of the same version run it, so
            that old and new processes work side by side while a node is upgraded.
    """

    version = APPLICATION_VERSION

    def __init__(self, engine: Engine, lanes: Sequence[Lane] = ()) -> None:
        self._client = _client(engine)
        self._lanes = {(lane.queue, lane.name): lane for lane in lanes}

    def enqueue(self, connection: Connection, task: Task) -> None:
        """Put a task into its queue, in the caller's transaction."""
        lane = self._lanes.get((task.queue, task.lane))
        options: Any = {
            "workflow_name": task.queue,
            "queue_name": task.queue if lane is None else lane.queue_name,
            "workflow_id": task.key,
            "app_version": self.version,
            "application_name": _NAME,
        }
        if task.delay_s > 0:
            options["delay_seconds"] = task.delay_s
        if task.rank > 0:
            options["priority"] = task.rank
        self._client.enqueue_in_transaction(connection, options, list(task.arguments))

    def begun(self) -> list[BegunTask]:
        """Return the tasks of our queues that executors have begun and not finished."""
        found = self._client.list_workflows(
            status="PENDING", name=list(QUEUES), load_input=False, load_output=False
        )
        return [
            BegunTask(workflow.workflow_id, workflow.queue_name, workflow.executor_id)
            for workflow in found
            if workflow.queue_name is not None and workflow.executor_id is not None
        ]

    def resume(self, task: BegunTask) -> None:
        """Put a begun task back into its queue; nothing happens if it has finished since."""
        self._client.resume_workflow(task.key, queue_name=task.queue)

    def wake(self, later_s: float, within_s: float) -> int:
        """Let tasks that are due much later run soon; return how many there were.

        A delay ends at a time of day. Where the clock was set back that is later than was meant,
        and a task that runs too early does no harm.

        Args:
            later_s: Those that are due later than in so many seconds.
            within_s: They run within so many, one after another.
        """
        found = self._client.list_workflows(
            status="DELAYED", name=list(QUEUES), load_input=False, load_output=False
        )
        limit = (time.time() + later_s) * 1000
        late = [one for one in found if (one.delay_until_epoch_ms or 0) > limit]
        for number, one in enumerate(late):
            delay_s = within_s * (number + 1) / len(late)
            self._client.set_workflow_delay(one.workflow_id, delay_seconds=delay_s)
        return len(late)

    def forget_finished(self, before: datetime, limit: int = 1000) -> int:
        """Delete what the engine remembers of tasks that ended before a time; return how many.

        What they did stands in our own tables; the engine would keep its rows for ever.
        """
        found = self._client.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"],
            name=list(QUEUES),
            completed_before=before.isoformat(),
            load_input=False,
            load_output=False,
            limit=limit,
        )
        if found:
            self._client.delete_workflows([workflow.workflow_id for workflow in found])
        return len(found)

    def close(self) -> None:
        """Release the client's connections."""
        self._client.destroy()


class DbosEngine(DbosEnqueuer):
    """Runs the tasks of some queues in this process.

    Args:
        engine: Our database; DBOS keeps its tables in it.
        executor_id: Stable name of this process: after a kill, the next process of the same
            name resumes what this one had begun.
        lanes: Parts of queues that have limits.
        poll_s: Seconds between two looks at a queue.
    """

    def __init__(
        self,
        engine: Engine,
        executor_id: str,
        lanes: Sequence[Lane] = (),
        poll_s: float = _POLL_S,
    ) -> None:
        self._engine = engine
        self._executor_id = executor_id
        self._poll_s = poll_s
        super().__init__(engine, lanes)

    def start(self, handlers: Mapping[Queue, Handler], concurrency: Mapping[Queue, int]) -> None:
        """Register one workflow a queue and run its tasks."""
        listened = self._listened(list(handlers))
        config: DBOSConfig = {
            "name": _NAME,
            "system_database_url": _url(self._engine),
            "application_version": self.version,
            "executor_id": self._executor_id,
            "log_level": "WARNING",
            "enable_otlp": False,
            "sys_db_idle_transaction_timeout_sec": IDLE_TRANSACTION_S,
            "max_executor_threads": 2 * sum(concurrency[lane.queue] for lane in listened) + 4,
        }
        if self._engine.dialect.name == "sqlite":
            config["system_database_engine"] = self._engine
        DBOS(config=config)
        for queue, handler in handlers.items():
            _register(queue, handler)
        DBOS.listen_queues([lane.queue_name if lane.name else lane.queue for lane in listened])
        DBOS.launch()
        for lane in listened:
            threads = concurrency[lane.queue]
            DBOS.register_queue(
                lane.queue_name if lane.name else lane.queue,
                worker_concurrency=min(threads, lane.concurrent or threads),
                global_concurrency=lane.concurrent or None,
                limiter={"limit": lane.per_minute, "period": 60} if lane.per_minute else None,
                polling_interval_sec=self._poll_s,
                on_conflict="always_update",
            )

    def _listened(self, queues: Sequence[Queue]) -> list[Lane]:
        """Return the queues and their lanes, also lanes that have lost their limits since."""
        known = {queue.name: queue for queue in self._client.list_queues()}
        lanes = {lane.queue_name: lane for lane in self._lanes.values()}
        for queue in queues:
            for name in known:
                if name.startswith(f"{queue}:") and name not in lanes:
                    lanes[name] = Lane(queue, name.removeprefix(f"{queue}:"))
        wanted = [lane for lane in lanes.values() if lane.queue in queues]
        return [*(Lane(queue, "") for queue in queues), *wanted]

    def stop(self, drain_s: float) -> None:
        """Finish running tasks; DBOS resumes the others at the next start."""
        DBOS.destroy(workflow_completion_timeout_sec=int(drain_s))
        self.close()


def _register(queue: Queue, handler: Handler) -> None:
    # What a handler lets through is the database's: a deadlock, a restart, a row that another
    # executor changed meanwhile. Handlers begin anew from our tables.
    @DBOS.step(
        name=f"{queue}-step",
        retries_allowed=True,
        interval_seconds=0.5,
        backoff_rate=2.0,
        max_attempts=_DATABASE_ATTEMPTS,
    )
    def step(arguments: list[str | int]) -> None:
        handler(*arguments)

    # A step is tried again after every kill; the limit is only against a task that kills.
    @DBOS.workflow(name=queue, max_recovery_attempts=100)
    def workflow(arguments: list[str | int]) -> None:
        step(arguments)
