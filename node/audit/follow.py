"""Reading along the chain: every sealed row once it is chained, in the chain's order.

The chain is the one order in which no row can appear before a place that a reader has passed
(rows are numbered before they are committed). Rows that no process of ours wrote are not in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from node.audit.chain import numbers
from node.audit.rows import LedgerRow, rows_numbered
from node.audit.tables import ChainLink, Follower
from node.database import utc_now


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Up to `offset` rows of link `position` are done, and all links before it."""

    position: int = 0
    offset: int = 0


def place_of(connection: Connection, name: str) -> Place | None:
    """Return how far a reader is, None if it never was."""
    row = connection.execute(
        select(Follower.position, Follower.offset).where(Follower.name == name)
    ).one_or_none()
    return None if row is None else Place(row.position, row.offset)


def end_of(connection: Connection) -> Place:
    """Return the place after which nothing is chained yet."""
    last = connection.scalar(select(func.max(ChainLink.position)))
    return Place((last or 0) + 1, 0)


def move(connection: Connection, name: str, place: Place) -> None:
    """Note how far a reader is."""
    values = {"position": place.position, "offset": place.offset, "updated_at": utc_now()}
    moved = connection.execute(update(Follower).where(Follower.name == name).values(**values))
    if moved.rowcount == 0:
        connection.execute(insert(Follower).values(name=name, **values))


def read(connection: Connection, place: Place, limit: int) -> tuple[list[dict[str, Any]], Place]:
    """Return at most `limit` rows after a place, and the place after them.

    The rows are as `node.audit.query.ask` gives them.
    """
    link = connection.execute(
        select(ChainLink.position, ChainLink.ledger, ChainLink.row_ids)
        .where(ChainLink.position >= place.position)
        .order_by(ChainLink.position)
        .limit(1)
    ).one_or_none()
    if link is None:
        return [], place
    start = place.offset if link.position == place.position else 0
    every = numbers(link.row_ids).tolist()
    wanted = every[start : start + limit]
    found = {row.id: row for row in rows_numbered(connection, link.ledger, wanted)}
    rows = [_plain(found[number]) for number in wanted if number in found]
    end = start + len(wanted)
    after = Place(link.position, end) if end < len(every) else Place(link.position + 1, 0)
    return rows, after


def _plain(row: LedgerRow) -> dict[str, Any]:
    _, ledger, at, actor, event, subject, study, patient, detail = row.facts
    return {
        "ledger": ledger,
        "id": row.id,
        "at": f"{at}+00:00",
        "actor": actor,
        "event": event,
        "subject": subject,
        "study": study,
        "patient": patient,
        "detail": json.loads(str(detail)),
    }
