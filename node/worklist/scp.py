"""The Unified Procedure Step classes as SCP: Push, Pull, Watch and Query (PS3.4 annex CC)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from pydicom import Dataset

from node.worklist.states import INVALID_VALUE
from node.worklist.worklist import PUSH, Answer, Worklist

WATCH: Final = "1.2.840.10008.5.1.4.34.6.2"
PULL: Final = "1.2.840.10008.5.1.4.34.6.3"
QUERY: Final = "1.2.840.10008.5.1.4.34.6.5"
GLOBAL: Final = "1.2.840.10008.5.1.4.34.5"
FILTERED_GLOBAL: Final = "1.2.840.10008.5.1.4.34.5.1"
_CHANGE_STATE, _REQUEST_CANCEL, _SUBSCRIBE, _UNSUBSCRIBE, _SUSPEND = 1, 2, 3, 4, 5
_NO_SUCH_ACTION: Final = 0x0123  # PS3.7 section C.5.12
_NO_SUCH_ARGUMENT: Final = 0x0114


@dataclass(frozen=True)
class UpsService:
    """Answers UPS requests from a worklist; a request is as `receive.services.Asked`."""

    worklist: Worklist

    @property
    def syntaxes(self) -> tuple[str, ...]:
        """Abstract syntaxes of its presentation contexts."""
        return (PUSH, WATCH, PULL, QUERY)

    def create(self, asked: Any) -> tuple[int | Dataset, Dataset | None]:  # noqa: ANN401 - a room above
        """Answer an N-CREATE (section CC.2.5): a UID is ours to give where none is given."""
        uid = asked.uid or f"2.25.{uuid4().int}"
        answer = self.worklist.create(uid, asked.dataset, asked.calling_ae)
        return _status(answer), answer.dataset

    def set(self, asked: Any) -> tuple[int | Dataset, Dataset | None]:  # noqa: ANN401 - same
        """Answer an N-SET (section CC.2.6): the Transaction UID is in the modification list."""
        transaction = str(asked.dataset.get("TransactionUID") or "")
        changed = self.worklist.update(asked.uid, asked.dataset, transaction, asked.calling_ae)
        return _status(changed), None

    def get(self, asked: Any) -> tuple[int | Dataset, Dataset | None]:  # noqa: ANN401 - same
        """Answer an N-GET (section CC.2.7)."""
        answer = self.worklist.get(asked.uid)
        return _status(answer), answer.dataset

    def act(self, asked: Any) -> tuple[int | Dataset, Dataset | None]:  # noqa: ANN401 - same
        """Answer an N-ACTION: change state, request cancel, subscribe, unsubscribe, suspend."""
        wish, by = asked.dataset, asked.calling_ae
        if asked.action == _CHANGE_STATE:
            wanted = str(wish.get("ProcedureStepState") or "")
            transaction = str(wish.get("TransactionUID") or "")
            return _status(self.worklist.change_state(asked.uid, wanted, transaction, by)), None
        if asked.action == _REQUEST_CANCEL:
            return _status(self.worklist.request_cancel(asked.uid, wish, by)), None
        if asked.action in {_SUBSCRIBE, _UNSUBSCRIBE, _SUSPEND}:
            return self._subscription(asked), None
        return _NO_SUCH_ACTION, None

    def _subscription(self, asked: Any) -> int | Dataset:  # noqa: ANN401 - same
        receiver = str(asked.dataset.get("ReceivingAE") or "").strip()
        if asked.uid == FILTERED_GLOBAL:
            return _NO_SUCH_ARGUMENT  # filters are not supported
        if not receiver:
            return INVALID_VALUE
        uid = "" if asked.uid == GLOBAL else asked.uid
        if asked.action == _SUBSCRIBE:
            locked = asked.dataset.get("DeletionLock") == "TRUE"
            return _status(self.worklist.subscribe(receiver, uid, deletion_lock=locked))
        return _status(self.worklist.unsubscribe(receiver, uid))

    def find(self, asked: Any) -> Iterable[Dataset]:  # noqa: ANN401 - same
        """Answer a C-FIND (section CC.2.8)."""
        return self.worklist.find(asked.dataset)


def _status(answer: Answer) -> int | Dataset:
    if not answer.comment:
        return answer.status
    told = Dataset()
    told.Status = answer.status
    told.ErrorComment = answer.comment[:64]  # PS3.5 section 6.2, VR LO
    return told
