"""Writing the ledger: one row a fact, in the transaction that makes the fact true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, insert

from node.audit.tables import LEDGERS
from node.database import utc_now

Ledger = Literal[
    "system", "association", "instance", "case", "job", "finding", "report", "delivery", "reading"
]


@dataclass(frozen=True, slots=True)
class Trail:
    """The ledger as one process sees it.

    Attributes:
        actor: Who writes: a process role (`receive`, `work`, ...) or a person's name.
    """

    actor: str

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
        connection.execute(
            insert(LEDGERS[ledger]).values(
                at=utc_now(),
                schema_version=1,
                actor=self.actor,
                event=event,
                subject=subject,
                study_instance_uid=study,
                patient_id=patient,
                detail=dict(detail or {}),
            )
        )
