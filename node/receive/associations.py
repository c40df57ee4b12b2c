"""The rows of associations: pairing asks which are open, the audit asks which ever were."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Engine, insert, select, update

from node.audit.tables import Association
from node.audit.trail import Trail
from node.database import lock, utc_now


class AssociationLog:
    """Keeps the association table and its ledger.

    `receiver` names this receiver process and stays the same over restarts.
    """

    def __init__(self, engine: Engine, trail: Trail, receiver: str) -> None:
        self._engine = engine
        self._trail = trail
        self._receiver = receiver

    def opened(self, calling_ae: str, called_ae: str, address: str, certificate: str = "") -> str:
        """Write that an association was accepted, from whose certificate; return its id."""
        identity = str(uuid4())
        detail = {"calling_ae": calling_ae, "called_ae": called_ae, "address": address}
        if certificate:
            detail["certificate"] = certificate
        with self._engine.begin() as connection:
            connection.execute(
                insert(Association).values(
                    id=identity,
                    calling_ae=calling_ae[:16],
                    address=address[:64],
                    receiver=self._receiver[:64],
                    opened_at=utc_now(),
                    closed_at=None,
                )
            )
            self._trail.record(connection, "association", "opened", identity, detail)
        return identity

    def closed(self, identity: str, event: str, reason: str = "") -> None:
        """Write that an association is over: `closed` (released) or `aborted`.

        Args:
            identity: What `opened` returned.
            event: One of these words.
            reason: Why we have aborted it.
        """
        detail = {"reason": reason} if reason else None
        with self._engine.begin() as connection:
            lock(connection, identity)
            connection.execute(
                update(Association).where(Association.id == identity).values(closed_at=utc_now())
            )
            self._trail.record(connection, "association", event, identity, detail)

    def rejected(
        self, calling_ae: str, called_ae: str, address: str, reason: str, more: int = 0
    ) -> None:
        """Write that an association or a connection was rejected; with `more`, so many."""
        detail: dict[str, object] = {
            "calling_ae": calling_ae,
            "called_ae": called_ae,
            "address": address,
            "reason": reason,
        }
        if more:
            detail["times"] = more
        with self._engine.begin() as connection:
            self._trail.record(connection, "association", "rejected", str(uuid4()), detail)

    def close_leftovers(self) -> int:
        """Close what a killed receiver of the same name left open; return how many."""
        with self._engine.begin() as connection:
            lock(connection, f"associations of {self._receiver}")
            leftovers = connection.scalars(
                select(Association.id).where(
                    Association.receiver == self._receiver[:64], Association.closed_at.is_(None)
                )
            ).all()
            for identity in leftovers:
                connection.execute(
                    update(Association)
                    .where(Association.id == identity)
                    .values(closed_at=utc_now())
                )
                self._trail.record(
                    connection, "association", "aborted", identity, {"reason": "receiver died"}
                )
        return len(leftovers)
