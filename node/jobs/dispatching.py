"""The rows of a report on its way: objects to destinations, and the notes that follow them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from node.audit.tables import Delivery, Report
from node.database import utc_now
from node.jobs.stages import family

SUPERSEDING_NOTE: Final = "reject"
"""Kind of a rejection note for what a new report supersedes; the new one must arrive first."""
WITHDRAWING_NOTE: Final = "withdraw"
"""Kind of a rejection note for the job's own report."""
NOTES: Final = frozenset({SUPERSEDING_NOTE, WITHDRAWING_NOTE})
OPEN: Final = frozenset({"pending", "sent"})


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
