"""Writing the ledger: one row a fact, in the transaction that makes the fact true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, insert, inspect

from node.audit.rows import TIME
from node.audit.seal import Sealer
from node.audit.tables import LEDGERS
from node.database import canonical_json, utc_now

SCHEMA_VERSION = 1
"""Of a row's facts; another version may hash other columns."""

Ledger = Literal[
    "system",
    "association",
    "instance",
    "case",
    "job",
    "finding",
    "report",
    "delivery",
    "reading",
    "access",
]

# Made once, of tables instead of classes: nearly every transaction of the node writes a row.
_INSERTS: Final = {name: insert(inspect(table).local_table) for name, table in LEDGERS.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row says; see `Trail.record`."""

    event: str
    subject: str
    detail: Mapping[str, Any]
    study: str = ""
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """The ledger as one process sees it.

    Attributes:
        actor: Who writes: a process role (`receive`, `work`, ...) or a person's name.
        sealer: Seals every row with the audit key; None leaves rows unsealed, which `crdl audit
            verify` reports.
    """

    actor: str
    sealer: Sealer | None = None

    def record(
        self,
        connection: Connection,
        ledger: Ledger,
        event: str,
        subject: str,
        detail: Mapping[str, Any] | None = None,
        *,
        study: str = "",
        patient: str = "",
    ) -> None:
        """Append one row.

        Args:
            connection: The transaction that changes the work row.
            ledger: Which ledger table.
            event: What happened, one lower-case word or two with a hyphen.
            subject: What it happened to (see the tables' docstrings).
            detail: Plain JSON values.
            study: Study Instance UID, if the fact belongs to one.
            patient: Patient ID, likewise.
        """
        entry = Entry(event, subject, detail or {}, study, patient)
        connection.execute(_INSERTS[ledger], self._row(ledger, entry))

    def record_all(self, connection: Connection, ledger: Ledger, entries: Sequence[Entry]) -> None:
        """Append a row an entry, in one statement."""
        if entries:
            rows = [self._row(ledger, entry) for entry in entries]
            connection.execute(_INSERTS[ledger], rows)

    def _row(self, ledger: Ledger, entry: Entry) -> dict[str, Any]:
        at, facts = utc_now(), dict(entry.detail)
        seal = ""
        if self.sealer is not None:
            seal = self.sealer.seal(
                (
                    SCHEMA_VERSION,
                    ledger,
                    at.strftime(TIME),
                    self.actor,
                    entry.event,
                    entry.subject,
                    entry.study,
                    entry.patient,
                    canonical_json(facts),
                )
            )
        return {
            "at": at,
            "schema_version": SCHEMA_VERSION,
            "actor": self.actor,
            "event": entry.event,
            "subject": entry.subject,
            "study_instance_uid": entry.study,
            "patient_id": entry.patient,
            "detail": facts,
            "seal": seal,
        }
