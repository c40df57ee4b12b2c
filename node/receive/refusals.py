"""The ledger rows of instances that were not accepted; a flood of them is counted, not listed."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from node.audit.trail import Trail
from node.case import InstanceHeader
from node.receive import statuses
from node.receive.announced import Announced
from node.receive.attributes import clean
from node.receive.coalescing import Coalescer
from node.receive.faults import DeclinedError
from node.receive.limits import peer_of

_LOG = logging.getLogger(__name__)
_SUBJECT_CHARACTERS: Final = 80
_ROWS_A_MINUTE: Final = 120  # of one peer; an archive that forwards a bad study is told one by one


class RefusalLog:
    """Writes why an instance was refused; thread-safe."""

    def __init__(self, engine: Engine, trail: Trail) -> None:
        self._engine = engine
        self._trail = trail
        self._coalescer: Coalescer[str] = Coalescer("many peers", _ROWS_A_MINUTE)

    def record(
        self,
        declined: DeclinedError,
        header: InstanceHeader | None,
        announced: Announced,
        source: str,
        association_id: str | None,
    ) -> None:
        """Leave a ledger row, unless it is for want of room: that would fill the disk further."""
        self.write_counts()
        if declined.status == statuses.OUT_OF_RESOURCES:
            return
        if not self._coalescer.note(peer_of(source.rpartition("@")[2])):
            return
        uid = header.sop_instance_uid if header else announced.sop_instance_uid
        self._write(
            clean(uid, _SUBJECT_CHARACTERS) or "unknown",
            {
                "reason": str(declined),
                "status": f"{declined.status:04X}",
                "source": source,
                "association": association_id or "",
            },
            header.study_instance_uid if header else "",
            header.patient_id if header else "",
        )

    def write_counts(self, *, everything: bool = False) -> None:
        """Write how many refusals of a peer were not listed."""
        for peer, count in self._coalescer.due(everything=everything):
            reason = f"{count} more instances of {peer} were refused"
            self._write("unknown", {"reason": reason, "source": peer, "times": count})

    def _write(
        self, subject: str, detail: dict[str, object], study: str = "", patient: str = ""
    ) -> None:
        try:
            with self._engine.begin() as connection:
                self._trail.record(
                    connection,
                    "instance",
                    "refused",
                    subject,
                    detail,
                    study=study,
                    patient=patient,
                )
        except SQLAlchemyError as error:
            # Its text would show the row, and a row names the patient.
            _LOG.error("a refusal could not be written: %s", type(error).__name__)
