"""The database side of delivery: at least once, never marked proven without proof."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Commitment, Delivery, FindingRow, Report
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.boundaries import passing
from node.database import utc_now
from node.jobs import states
from node.jobs.circuit import PACE, Pace
from node.jobs.dispatching import NOTES, OPEN, SUPERSEDING_NOTE, delivery
from node.jobs.engine import Enqueuer
from node.jobs.outage import Outages, Turn, Word, joins_line
from node.jobs.stages import Parcel, Receipt, Stages, family

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deliverer:
    """Runs the tasks of the delivery queue."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer
    stages: Stages
    blobs: BlobStore
    pace: Pace = PACE

    @property
    def outages(self) -> Outages:
        """What an attempt means for the others that go to the same destination."""
        return Outages(self.trail, self.enqueuer, self.pace)

    def __call__(
        self, job_id: int, run: int, destination: str, attempt: int, ticket: int = 0
    ) -> None:
        """Make one attempt to deliver what is not proven yet, or stand in line.

        Args:
            job_id: Whose report.
            run: Of the job; counts a person's retries.
            destination: Its name.
            attempt: Counts from 0.
            ticket: The round that let it out of the line, see `circuit`; 0 in fair weather.
        """
        turn = Turn(job_id, run, destination, attempt, ticket)
        commits = any(wish.commits for wish in self.stages.destinations if wish.name == destination)
        root = f"2.25.{uuid4().int}" if commits else ""  # PS3.5 section B.2
        rows = self._open(turn, root)
        if not rows:
            return
        passing("attempt-noted")
        parcels = [
            Parcel(
                row.sop_class_uid,
                row.sop_instance_uid,
                row.study_instance_uid,
                row.series_instance_uid,
                self.blobs.path(row.blob_sha256),
                # Sent before, or sent by an attempt that a kill cut off before it was noted.
                sent=not row.absent
                and (row.state == "sent" or row.attempts > 0 or attempt > 0 or run > 0),
                transaction_root=root,
            )
            for row in rows
        ]
        try:
            receipts = self.stages.deliver(destination, parcels)
        except Exception as error:  # noqa: BLE001 - the sender boundary: the attempt is repeated
            _log.exception("delivery of job %d to %s failed", job_id, destination)
            text = f"{type(error).__name__}: {error}"
            receipts = [Receipt(row.sop_instance_uid, "failed", text) for row in rows]
        passing("proven")
        self._note(turn, rows, receipts)
        passing("delivered")

    def _open(self, turn: Turn, root: str) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return what to deliver, and note the attempt before it is made.

        An attempt that a later one has overtaken gets nothing: its executor was frozen. Nor does
        one whose destination is down: it stands in line.
        """
        with self.database.begin() as connection:
            job = states.hold(connection, turn.job_id)
            if job.state != "delivering" or job.run != turn.run:
                self.outages.note(connection, turn, "nothing")
                return ()
            if joins_line(connection, turn):
                return ()
            rows = connection.execute(
                select(
                    Delivery.id,
                    Delivery.state,
                    Delivery.attempts,
                    Delivery.absent,
                    Report.kind,
                    Report.sop_class_uid,
                    Report.sop_instance_uid,
                    Report.study_instance_uid,
                    Report.series_instance_uid,
                    Report.blob_sha256,
                )
                .join(Report, Report.id == Delivery.report_id)
                .where(
                    Delivery.job_id == turn.job_id,
                    Delivery.destination == turn.destination,
                    Delivery.state.in_(("pending", "sent")),
                    Delivery.attempts <= turn.attempt + 1,
                )
                .order_by(Delivery.id)
            ).all()
            if not rows:
                self.outages.note(connection, turn, "nothing")
                return ()
            # A rejection note waits until what it makes way for is proven.
            rows = [row for row in rows if family(row.kind) not in NOTES] or rows
            connection.execute(
                update(Delivery)
                .where(Delivery.id.in_([row.id for row in rows]))
                .values(attempts=turn.attempt + 1, absent=False, updated_at=utc_now())
            )
            if root:  # before the archive is asked: its answer may come at once, by another way
                asked = {"transaction_root": root, "asked_at": utc_now()}
                for row in rows:
                    connection.execute(insert(Commitment).values(delivery_id=row.id, **asked))
            return rows

    def _note(
        self, turn: Turn, rows: Sequence[Row[*tuple[Any, ...]]], receipts: Sequence[Receipt]
    ) -> None:
        destination, attempt = turn.destination, turn.attempt
        word: Word = "down" if all(receipt.down for receipt in receipts) else "reached"
        ids = {row.sop_instance_uid: row.id for row in rows}
        with self.database.begin() as connection:
            job = states.hold(connection, turn.job_id)
            receipts = _still_news(connection, ids, attempt, receipts)
            if job.state != "delivering" or job.run != turn.run or not receipts:
                self.outages.note(connection, turn, "nothing" if word == "down" else word)
                return
            delay = self.stages.retry_after(attempt, receipts)
            unproven = [receipt for receipt in receipts if receipt.state != "proven"]
            for receipt in receipts:
                state = receipt.state if receipt.state in {"proven", "sent"} else "pending"
                if receipt in unproven and delay is None:
                    state = "dead"
                self._update(connection, job, ids, destination, receipt, state)
            again = delivery(job.id, job.run, destination, attempt + 1, delay or 0.0)
            if unproven and delay is not None:
                if not self.outages.note(connection, replace(turn, attempt=attempt + 1), word):
                    self.enqueuer.enqueue(connection, again)
            else:
                self.outages.note(connection, turn, "nothing" if word == "down" else word)
                if notes_follow(connection, job, destination):
                    self.enqueuer.enqueue(connection, again)
            close_job(connection, self.trail, job)

    def _update(
        self,
        connection: Connection,
        job: Row[Any],
        ids: dict[str, int],
        destination: str,
        receipt: Receipt,
        state: str,
    ) -> None:
        connection.execute(
            update(Delivery)
            .where(Delivery.id == ids[receipt.sop_instance_uid])
            .values(state=state, last_error=receipt.error, updated_at=utc_now())
        )
        self.trail.record(
            connection,
            "delivery",
            receipt.state if state != "dead" else "dead",
            receipt.sop_instance_uid,
            {"destination": destination, "error": receipt.error, "job": job.id},
            study=job.study_instance_uid,
            patient=job.patient_id,
        )


def notes_follow(connection: Connection, job: Row[Any], destination: str) -> bool:
    """Tell whether rejection notes are to be sent now that all else is settled.

    Where the new report did not arrive, the old one is not rejected.
    """
    rows = connection.execute(
        select(Delivery.id, Delivery.state, Report.kind)
        .join(Report, Report.id == Delivery.report_id)
        .where(Delivery.job_id == job.id, Delivery.destination == destination)
    ).all()
    settled = {row.state for row in rows if family(row.kind) not in NOTES}
    waiting = [row for row in rows if family(row.kind) in NOTES and row.state in OPEN]
    if settled & OPEN or not waiting:
        return False
    if "dead" in settled:
        vain = [row.id for row in waiting if family(row.kind) == SUPERSEDING_NOTE]
        connection.execute(
            update(Delivery)
            .where(Delivery.id.in_(vain))
            .values(
                state="dead",
                last_error="the report that supersedes did not arrive",
                updated_at=utc_now(),
            )
        )
        waiting = [row for row in waiting if row.id not in vain]
    return bool(waiting)


def close_job(connection: Connection, trail: Trail, job: Row[Any]) -> None:
    """End a job of which nothing is on its way any more."""
    found = set(
        connection.scalars(select(Delivery.state).where(Delivery.job_id == job.id).distinct())
    )
    if found & OPEN:
        return
    if "dead" in found:
        states.change(connection, trail, job, "dead", "a destination was not reached")
        return
    assessed = connection.execute(
        select(FindingRow.id)
        .where(FindingRow.job_id == job.id, FindingRow.status == "assessed")
        .limit(1)
    ).first()
    times = _first_proof(connection, job) if found == {"proven"} and job.proven_at is None else {}
    states.change(connection, trail, job, "done" if assessed else "refused", **times)


def _first_proof(connection: Connection, job: Row[Any]) -> dict[str, Any]:
    """Return when a report was first proven everywhere, and how long that took."""
    query = select(func.max(Delivery.updated_at)).where(Delivery.job_id == job.id)
    proven_at = connection.scalar(query)
    if proven_at is None or job.received_at is None:
        return {"proven_at": proven_at}
    seconds = (proven_at - job.received_at).total_seconds()
    return {"proven_at": proven_at, "total_s": round(seconds, 3)}


def _still_news(
    connection: Connection, ids: Mapping[str, int], attempt: int, receipts: Sequence[Receipt]
) -> list[Receipt]:
    """Return the receipts that still count when two executors made the same attempt.

    What is proven stays proven, and a failure counts only until a later attempt has begun.
    """
    rows = connection.execute(
        select(Delivery.id, Delivery.attempts).where(
            Delivery.id.in_(ids.values()), Delivery.state.in_(("pending", "sent"))
        )
    )
    attempts = {row.id: row.attempts for row in rows}
    return [
        receipt
        for receipt in receipts
        if (made := attempts.get(ids[receipt.sop_instance_uid])) is not None
        and (receipt.state == "proven" or made <= attempt + 1)
    ]
