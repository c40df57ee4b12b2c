"""A storage commitment result that came on an association of the archive's own.

It may come late, twice, or while the attempt that asked for it still waits. What was already
settled stays; what the archive does not have is sent by the next attempt, and only that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Commitment, Delivery, Report
from node.audit.trail import Trail
from node.database import read_only, utc_now
from node.jobs import states
from node.jobs.delivering import close_job, notes_follow
from node.jobs.dispatching import OPEN, delivery
from node.jobs.engine import Enqueuer, Task

_SUBJECT: Final = 80  # characters, of a ledger row
_EVENT = "commitment"


@dataclass(frozen=True, slots=True)
class Result:
    """What an archive says about one request.

    Attributes:
        committed: SOP Instance UIDs that it is responsible for now.
        absent: Those that it does not have.
        failed: All that it did not commit, with the reason in words; the absent are among them.
    """

    transaction_uid: str
    committed: frozenset[str]
    absent: frozenset[str]
    failed: Mapping[str, str]


@dataclass(frozen=True)
class Committer:
    """Takes results, from any number of threads and processes."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer

    def take(self, destinations: Collection[str], result: Result) -> bool:
        """Note a result.

        Args:
            destinations: Names of those that the sender may be; it speaks for no other.
            result: What it said.

        Returns:
            Whether the transaction is one of ours, asked of one of these destinations.
        """
        asked = self._asked(destinations, result.transaction_uid)
        if not asked:
            self._note_unknown(destinations, result)
            return False
        # The requests of an attempt belong to one job and one destination.
        self._settle(asked[0].job_id, asked[0].destination, [row.id for row in asked], result)
        return True

    def _asked(self, destinations: Collection[str], transaction_uid: str) -> list[Row[Any]]:
        root = transaction_uid.rpartition(".")[0]
        query = (
            select(Delivery.id, Delivery.job_id, Delivery.destination)
            .join(Commitment, Commitment.delivery_id == Delivery.id)
            .where(
                Commitment.transaction_root == root, Delivery.destination.in_(sorted(destinations))
            )
            .order_by(Delivery.id)
        )
        with read_only(self.database) as connection:
            return list(connection.execute(query))

    def _settle(self, job_id: int, destination: str, ids: list[int], result: Result) -> None:
        with self.database.begin() as connection:
            job = states.hold(connection, job_id)
            rows = connection.execute(
                select(Delivery.__table__, Report.sop_instance_uid)
                .join(Report, Report.id == Delivery.report_id)
                .where(Delivery.id.in_(ids))
                .order_by(Delivery.id)
            ).all()
            is_open = job.state == "delivering"
            changed = [self._judge(connection, job, row, result, is_open=is_open) for row in rows]
            if not any(changed):
                return
            if notes_follow(connection, job, destination):
                attempt = max(row.attempts for row in rows)
                task = delivery(job.id, job.run, destination, attempt)
                # The attempt that asked may have put a task of that number into the queue.
                key = f"{task.key}:{result.transaction_uid}"
                self.enqueuer.enqueue(
                    connection, Task(task.queue, key, task.arguments, lane=task.lane)
                )
            close_job(connection, self.trail, job)

    def _judge(
        self,
        connection: Connection,
        job: Row[Any],
        row: Row[Any],
        result: Result,
        *,
        is_open: bool,
    ) -> bool:
        """Note what the result says about one delivery; tell whether that proves it."""
        uid = row.sop_instance_uid
        if uid not in result.committed and uid not in result.failed:
            return False
        news = is_open and row.state in OPEN
        proven = uid in result.committed
        error = "committed" if proven else f"not committed: {result.failed[uid]}"
        if news:
            values: dict[str, Any] = {"state": "proven" if proven else "sent"}
            if not proven:
                values["absent"] = uid in result.absent
            connection.execute(
                update(Delivery)
                .where(Delivery.id == row.id)
                .values(last_error=error, updated_at=utc_now(), **values)
            )
        self.trail.record(
            connection,
            "delivery",
            "proven" if news and proven else _EVENT,
            uid,
            {
                "destination": row.destination,
                "error": error,
                "job": job.id,
                "transaction": result.transaction_uid,
                "before": row.state,
            },
            study=job.study_instance_uid,
            patient=job.patient_id,
        )
        return news and proven

    def _note_unknown(self, destinations: Collection[str], result: Result) -> None:
        with self.database.begin() as connection:
            self.trail.record(
                connection,
                "delivery",
                "unknown-commitment",
                result.transaction_uid[:_SUBJECT],
                {
                    "destinations": sorted(destinations),
                    "committed": len(result.committed),
                    "failed": len(result.failed),
                },
            )
