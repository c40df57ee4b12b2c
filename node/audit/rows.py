"""Ledger rows as they are hashed: raw text from the database, fast and the same on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, cast, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from node.audit.seal import Facts, row_hash
from node.audit.tables import LEDGERS

_POSTGRES_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US'
TIME = "%Y-%m-%dT%H:%M:%S.%f"
"""How a row's time is written where it is hashed: UTC, microseconds."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row with everything that a seal and the chain cover."""

    id: int
    seal: str
    facts: Facts

    @property
    def hash(self) -> bytes:
        """SHA-256 of the row, (32,) bytes."""
        return row_hash(self.id, self.seal, self.facts)


def rows_after(connection: Connection, ledger: str, number: int, limit: int) -> list[LedgerRow]:
    """Return rows numbered above `number`, in order."""
    table = LEDGERS[ledger]
    query = selection(connection, ledger).where(table.id > number).order_by(table.id).limit(limit)
    return [_row(ledger, row) for row in connection.execute(query)]


def rows_numbered(connection: Connection, ledger: str, ids: Sequence[int]) -> list[LedgerRow]:
    """Return the rows with these numbers that are there, in order."""
    table = LEDGERS[ledger]
    found: list[LedgerRow] = []
    for start in range(0, len(ids), 500):  # databases limit the parameters of a statement
        part = ids[start : start + 500]
        query = selection(connection, ledger).where(table.id.in_(part)).order_by(table.id)
        found += [_row(ledger, row) for row in connection.execute(query)]
    return found


def selection(
    connection: Connection, ledger: str, *, named: bool = False
) -> Select[*tuple[Any, ...]]:
    """Select what a seal and the chain cover; `named` puts the ledger's name where it is hashed."""
    table = LEDGERS[ledger]
    return select(
        table.id,
        table.seal,
        table.schema_version,
        *([literal(ledger)] if named else []),
        _time(connection, table.at),
        table.actor,
        table.event,
        table.subject,
        table.study_instance_uid,
        table.patient_id,
        cast(table.detail, Text),
    )


def _time(connection: Connection, at: InstrumentedAttribute[Any]) -> ColumnElement[str]:
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", at), _POSTGRES_TIME)
    return func.replace(cast(at, Text), " ", "T")


def _row(ledger: str, row: Sequence[Any]) -> LedgerRow:
    number, seal, version, at, actor, event, subject, study, patient, detail = row
    return LedgerRow(
        number, seal, (version, ledger, at, actor, event, subject, study, patient, detail)
    )
