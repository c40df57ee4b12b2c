"""The rows of a report on its way: objects to destinations, and the notes that follow them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from node.audit.tables import Delivery, Report
from node.database import utc_now
from node.jobs.engine import Task
from node.jobs.stages import family

SUPERSEDING_NOTE: Final = "reject"
"""Kind of a rejection note for what a new report supersedes; the new one must arrive first."""
WITHDRAWING_NOTE: Final = "withdraw"
"""Kind of a rejection note for the job's own report."""
NOTES: Final = frozenset({SUPERSEDING_NOTE, WITHDRAWING_NOTE})
OPEN: Final = frozenset({"pending", "sent"})


def delivery(
    job_id: int,
    run: int,
    destination: str,
    attempt: int = 0,
    delay_s: float = 0.0,
    ticket: int = 0,
) -> Task:
    """Return the task that delivers a job's objects to one destination.

    `ticket` is the round that let it out of the line before a destination that was down, else 0.
    """
    key = f"deliver:{job_id}:{run}:{destination}:{attempt}"
    if not ticket:
        return Task("delivery", key, (job_id, run, destination, attempt), delay_s, lane=destination)
    arguments = (job_id, run, destination, attempt, ticket)
    return Task("delivery", f"{key}:{ticket}", arguments, delay_s, lane=destination)


def put(connection: Connection, job_id: int, destination: str, report_ids: Iterable[int]) -> None:
    """Note that a destination is to get objects."""
    for report_id in report_ids:
        connection.execute(
            insert(Delivery).values(
                report_id=report_id,
                job_id=job_id,
                destination=destination,
                state="pending",
                attempts=0,
                last_error="",
                updated_at=utc_now(),
            )
        )


def shipped(connection: Connection, job_id: int) -> dict[str, list[Row[Any]]]:
    """Return what each destination got, or may still get, of a job's own report."""
    rows = connection.execute(
        select(Report.__table__, Delivery.destination)
        .join(Delivery, Delivery.report_id == Report.id)
        .where(Report.job_id == job_id, Delivery.state != "withdrawn")
        .order_by(Report.id)
    )
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        if family(row.kind) not in NOTES:
            found.setdefault(row.destination, []).append(row)
    return found
