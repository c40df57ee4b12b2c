"""The fifteen questions of the runbook, asked from the console: read only, and not for ever."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from node.database import read_only
from node.errors import InputError

MOST_ROWS: Final = 500
_SECONDS: Final = 30
_FILE: Final = Path(__file__).with_name("questions.toml")


@dataclass(frozen=True, slots=True)
class ReadyQuestion:
    """One question.

    Attributes:
        sql: With `:name` for each field of the form.
        examples: Every field with the value that the runbook prints.
    """

    number: int
    title: str
    sql: str
    examples: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the database said; `more`: there are further rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


@cache
def ready_questions() -> tuple[ReadyQuestion, ...]:
    """Return the questions in the runbook's order."""
    table = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(ReadyQuestion(**row) for row in table["question"])


def ready_question(number: int) -> ReadyQuestion:
    """Return one question.

    Raises:
        InputError: If there is no such question.
    """
    for question in ready_questions():
        if question.number == number:
            return question
    raise InputError(f"there is no question {number}")


def answer(database: Engine, question: ReadyQuestion, said: Mapping[str, str]) -> Answer:
    """Ask a question with the values that a person gave.

    Raises:
        InputError: A value is missing or no date, or the answer takes too long.
    """
    values = {name: said.get(name, "").strip() for name in question.examples}
    for name, value in values.items():
        if not value:
            raise InputError(f"fill in {name}")
        if name in {"since", "until"}:
            _require_date(name, value)
    try:
        with read_only(database) as connection:
            _restrain(connection)
            result = connection.execute(text(question.sql.rstrip().rstrip(";")), values)
            rows = result.fetchmany(MOST_ROWS + 1)
            columns = tuple(result.keys())
            result.close()
    except DBAPIError as error:
        raise InputError(
            f"the database did not answer within {_SECONDS} s: ask by SQL as the runbook says"
        ) from error
    return Answer(columns, tuple(tuple(row) for row in rows[:MOST_ROWS]), len(rows) > MOST_ROWS)


def _restrain(connection: Connection) -> None:
    """The questions only read; the database holds us to it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{_SECONDS}s'"))


def _require_date(name: str, value: str) -> None:
    try:
        date.fromisoformat(value[:10])
        datetime.fromisoformat(value)
    except ValueError as error:
        raise InputError(f"{name} is a date such as 2026-01-31, not {value!r}") from error
