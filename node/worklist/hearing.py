"""Events of somebody else's worklist about workitems that we perform (PS3.4 section CC.2.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset
from sqlalchemy.engine import Engine as Database

from node.audit.trail import Trail
from node.jobs.performing import wish_cancelled
from node.worklist.events import CANCEL_REQUESTED
from node.worklist.teller import EVENT

_SUCCESS: Final = 0x0000


@dataclass(frozen=True)
class UpsListener:
    """Takes N-EVENT-REPORT; of the events only a request to cancel changes anything here."""

    database: Database
    trail: Trail

    @property
    def syntaxes(self) -> tuple[str, ...]:
        """Abstract syntaxes of its presentation contexts: the peer is the SCP of the service."""
        return (EVENT,)

    def hear(self, asked: Any) -> tuple[int | Dataset, Dataset | None]:  # noqa: ANN401 - same
        """Note that somebody wants a workitem cancelled; the next round cancels it."""
        if asked.action == CANCEL_REQUESTED:
            by = str(asked.dataset.get("RequestingAE") or asked.calling_ae)
            reason = str(asked.dataset.get("ReasonForCancellation") or "no reason given")
            wish_cancelled(self.database, self.trail, asked.uid, f"{by} asked to cancel: {reason}")
        return _SUCCESS, None
