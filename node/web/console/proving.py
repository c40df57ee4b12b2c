"""Proving the record from the console: one proof at a time, in the background, written down."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from sqlalchemy import Engine

from node.audit.seal import Sealer
from node.audit.trail import Trail
from node.audit.verify import verify

_SHOWN = 5
_log = logging.getLogger(__name__)


@dataclass
class Prover:
    """Compares every row with the chain, at the pace of `crdl audit verify`."""

    database: Engine
    sealer: Sealer
    _busy: threading.Lock = field(default_factory=threading.Lock)

    @property
    def busy(self) -> bool:
        """Whether a proof is under way in this process."""
        return self._busy.locked()

    def start(self, trail: Trail) -> bool:
        """Begin a proof; False if one is under way."""
        if not self._busy.acquire(blocking=False):
            return False
        threading.Thread(target=self._run, args=(trail,), name="prover", daemon=True).start()
        return True

    def _run(self, trail: Trail) -> None:
        try:
            found = verify(self.database, self.sealer)
            detail = {
                "intact": found.intact,
                "rows": found.rows,
                "links": found.links,
                "unchained": found.unchained,
                "oldest_unchained_s": round(found.oldest_unchained_s, 1),
                "faults": [
                    f"{fault.kind} {fault.where} {fault.number} {fault.detail}".strip()
                    for fault in found.faults[:_SHOWN]
                ],
            }
            with self.database.begin() as connection:
                trail.record(connection, "system", "verified", "audit", detail)
        except Exception:  # noqa: BLE001 - the thread's boundary: the page says that none is done
            _log.exception("the record could not be proven")
        finally:
            self._busy.release()
