"""Searching the audit: a form's fields as a question, pages by time, and questions kept by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from node.audit.query import Question, ask
from node.audit.tables import LEDGERS, ChainLink, LedgerSystem, SavedQuery
from node.audit.trail import Trail
from node.database import read_only, utc_now
from node.errors import InputError
from node.web.auth.identity import Person, Role

PAGE: Final = 100
FIELDS: Final = ("ledger", "event", "actor", "patient", "study", "subject", "since", "until")
_LONGEST_NAME: Final = 80
_LONGEST_VALUE: Final = 200


@dataclass(frozen=True, slots=True)
class Found:
    """One page of rows, newest first; `older` is the time before which the next ones lie."""

    rows: tuple[dict[str, Any], ...]
    older: str


def question_of(form: Mapping[str, str], limit: int = PAGE) -> Question:
    """Turn a form into a question; dates include their whole day.

    Raises:
        InputError: If a date is none, or a ledger does not exist.
    """
    said = {name: form.get(name, "").strip()[:_LONGEST_VALUE] for name in FIELDS}
    if said["ledger"] and said["ledger"] not in LEDGERS:
        raise InputError(f"no ledger {said['ledger']!r}; there are {', '.join(LEDGERS)}")
    until = _day(said["until"])
    return Question(
        ledgers=(said["ledger"],) if said["ledger"] else (),
        patient=said["patient"],
        study=said["study"],
        subject=said["subject"],
        event=said["event"],
        actor=said["actor"],
        since=_day(said["since"]),
        until=None if until is None else until + timedelta(days=1),
        limit=limit,
    )


def search(database: Engine, form: Mapping[str, str], before: str = "") -> Found:
    """Return one page of the rows that answer.

    Rows of one moment are never parted, so that no page loses one.

    Raises:
        InputError: As `question_of`; or `before` is no time.
    """
    question = question_of(form, PAGE + 1)
    if before:
        try:
            moment = datetime.fromisoformat(before)
        except ValueError as error:
            raise InputError("this page is not there any more; search anew") from error
        until = moment if question.until is None else min(moment, question.until)
        question = _until(question, until)
    rows = [*reversed(ask(database, question))]
    if len(rows) <= PAGE:
        return Found(tuple(rows), "")
    kept = [row for row in rows[:PAGE] if row["at"] != rows[PAGE]["at"]] or rows[:PAGE]
    return Found(tuple(kept), kept[-1]["at"])


def _until(question: Question, until: datetime) -> Question:
    return Question(
        question.ledgers,
        question.patient,
        question.study,
        question.subject,
        question.event,
        question.actor,
        question.since,
        until,
        question.limit,
    )


def _day(value: str) -> datetime | None:
    if not value:
        return None
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise InputError(f"{value!r} is no date such as 2026-01-31") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def saved_queries(database: Engine) -> tuple[Row[Any], ...]:
    """Return the questions that people keep, by name."""
    with read_only(database) as connection:
        query = select(SavedQuery.__table__).order_by(func.lower(SavedQuery.name))
        return tuple(connection.execute(query).all())


def save_query(database: Engine, trail: Trail, name: str, form: Mapping[str, str]) -> None:
    """Keep a question under a name.

    Raises:
        InputError: The name is empty, too long or taken, or the question asks nothing.
    """
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME:
        raise InputError(f"give the question a name of at most {_LONGEST_NAME} letters")
    question_of(form)
    kept = {field: form[field].strip() for field in FIELDS if form.get(field, "").strip()}
    if not kept:
        raise InputError("fill in at least one field: a question that asks nothing is not kept")
    try:
        with database.begin() as connection:
            connection.execute(
                insert(SavedQuery).values(
                    name=name, question=kept, saved_by=trail.actor, saved_at=utc_now()
                )
            )
            trail.record(connection, "system", "query-saved", name, {"question": kept})
    except IntegrityError as error:
        raise InputError(f"there is a question {name!r} already") from error


def forget_query(database: Engine, trail: Trail, person: Person, number: int) -> str:
    """Remove a kept question; return its name. It is an admin's, or one's own.

    Raises:
        InputError: There is none, or it is somebody else's.
    """
    with database.begin() as connection:
        row = _saved(connection, number)
        if row.saved_by != person.actor and not person.may(Role.ADMIN):
            raise InputError(f"question {row.name!r} is kept by {row.saved_by}")
        connection.execute(delete(SavedQuery).where(SavedQuery.id == number))
        trail.record(connection, "system", "query-removed", row.name)
    return str(row.name)


def _saved(connection: Connection, number: int) -> Row[Any]:
    query = select(SavedQuery.__table__).where(SavedQuery.id == number)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise InputError("this question is not kept any more")
    return row


@dataclass(frozen=True, slots=True)
class ChainState:
    """The end of the chain, and what the last proof from the console found; None for never."""

    links: int
    made_at: datetime | None
    sha256: str
    proof: Mapping[str, Any] | None
    proved_at: datetime | None
    proved_by: str


def chain_state(database: Engine) -> ChainState:
    """Return where the record's chain ends, and how the last proof went."""
    with read_only(database) as connection:
        last = connection.execute(
            select(ChainLink.position, ChainLink.sha256, ChainLink.made_at)
            .order_by(ChainLink.position.desc())
            .limit(1)
        ).one_or_none()
        proof = connection.execute(
            select(LedgerSystem.at, LedgerSystem.actor, LedgerSystem.detail)
            .where(LedgerSystem.event == "verified", LedgerSystem.subject == "audit")
            .order_by(LedgerSystem.id.desc())
            .limit(1)
        ).one_or_none()
    return ChainState(
        links=0 if last is None else last.position,
        made_at=None if last is None else last.made_at,
        sha256="" if last is None else last.sha256,
        proof=None if proof is None else proof.detail,
        proved_at=None if proof is None else proof.at,
        proved_by="" if proof is None else proof.actor,
    )
