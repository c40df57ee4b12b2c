"""Asking the ledgers: any fact by patient, study, time, event or subject, oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Select, literal, select, text, union_all

from node.audit.tables import LEDGERS
from node.database import read_only
from node.errors import InputError


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask; empty fields admit everything.

    Attributes:
        ledgers: Names of `tables.LEDGERS`; empty asks all.
        event: For jobs it is the state that was reached.
        since: Aware times; `until` is exclusive.
    """

    ledgers: Sequence[str] = ()
    patient: str = ""
    study: str = ""
    subject: str = ""
    event: str = ""
    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 1000


def ask(database: Engine, question: Question) -> list[dict[str, Any]]:
    """Return the rows that answer, oldest first; the newest `limit` of them.

    Raises:
        InputError: If a ledger does not exist.
    """
    # Each ledger gives its newest rows by its own index; only these few are sorted together.
    newest = [
        select(
            part.order_by(part.selected_columns.at.desc(), part.selected_columns.id.desc())
            .limit(question.limit)
            .subquery()
        )
        for part in _parts(question)
    ]
    query = select(union_all(*newest).subquery()).limit(question.limit)
    newest_first = query.order_by(text("at DESC"), text("id DESC"))
    with read_only(database) as connection:
        rows = connection.execute(newest_first).mappings().all()
    return [{**row, "at": row["at"].isoformat()} for row in reversed(rows)]


def ask_all(database: Engine, question: Question, batch: int) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows that answer, oldest first, so many at a time; the limit plays no part.

    Raises:
        InputError: If a ledger does not exist.
    """
    query = select(union_all(*_parts(question)).subquery()).order_by(text("at"), text("id"))
    with read_only(database) as connection:
        found = connection.execution_options(yield_per=batch).execute(query).mappings()
        for rows in found.partitions():
            yield [{**row, "at": row["at"].isoformat()} for row in rows]


def _parts(question: Question) -> list[Select[Any]]:
    unknown = sorted(set(question.ledgers) - set(LEDGERS))
    if unknown:
        raise InputError(f"no ledger {unknown[0]!r}; there are {', '.join(LEDGERS)}")
    return [_part(name, question) for name in question.ledgers or LEDGERS]


def _part(name: str, question: Question) -> Select[Any]:
    table = LEDGERS[name]
    query = select(
        literal(name).label("ledger"),
        table.id,
        table.at,
        table.actor,
        table.event,
        table.subject,
        table.study_instance_uid.label("study"),
        table.patient_id.label("patient"),
        table.detail,
    )
    wanted = {
        table.patient_id: question.patient,
        table.study_instance_uid: question.study,
        table.subject: question.subject,
        table.event: question.event,
        table.actor: question.actor,
    }
    for column, value in wanted.items():
        if value:
            query = query.where(column == value)
    if question.since is not None:
        query = query.where(table.at >= question.since)
    if question.until is not None:
        query = query.where(table.at < question.until)
    return query
