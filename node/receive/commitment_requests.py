"""Storage commitment that modalities ask of us: the request, and its result where it came from.

The request is noted durably before it is answered. The result is told here while the modality keeps
the association and says nothing else on it; else the sender tells it on one of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from pydicom import Dataset
from pynetdicom.association import Association
from sqlalchemy.exc import SQLAlchemyError

from node.errors import JobError
from node.jobs.pledges import Asked, Decided
from node.jobs.pledging import PledgeBook

SUCCESS: Final = 0x0000
DUPLICATE_TRANSACTION: Final = 0x0131  # PS3.7 annex C has no better one; PS3.3 section C.14.1.1
INVALID_ARGUMENT: Final = 0x0115  # PS3.7 section C.5.3
NO_SUCH_SOP_CLASS: Final = 0x0118  # PS3.7 section C.5.11: switched off
NO_SUCH_ACTION: Final = 0x0123  # PS3.7 section C.5.14
OUT_OF_RESOURCES: Final = 0x0213  # PS3.7 section C.5.24: the database does not answer
_REQUEST: Final = 1  # Action Type ID, PS3.4 table J.3-1
_MOST_ITEMS: Final = 10_000
_POLL_S: Final = 0.2
_WATCHED_S: Final = 30.0
_UID_LENGTH: Final = 64
_log = logging.getLogger(__name__)


class CommitmentRequests:
    """Takes requests for one receiver.

    Args:
        book: Where they are noted.
        tell: Sends a result over an established association; returns "" or why not.
        steady: Called once for an association before we send a request over it.
    """

    def __init__(
        self,
        book: PledgeBook,
        tell: Callable[[Association, Decided], str],
        steady: Callable[[Association], None],
    ) -> None:
        self._book = book
        self._tell = tell
        self._steady = steady
        self._said: dict[Association, int] = {}

    def heard(self, association: Association) -> None:
        """Note that the modality has said something else: it is busy with that."""
        if association in self._said:
            self._said[association] += 1

    def ended(self, association: Association) -> None:
        """Forget an association."""
        self._said.pop(association, None)

    def take(
        self,
        association: Association,
        association_id: str | None,
        calling_ae: str,
        action: tuple[int, Dataset],
    ) -> int:
        """Answer an N-ACTION; success once the request is noted (PS3.4 section J.3.2).

        Args:
            association: Over which it came.
            association_id: Its row.
            calling_ae: Who asks.
            action: Action Type ID and Action Information.
        """
        action_type, information = action
        if action_type != _REQUEST:
            return NO_SUCH_ACTION
        asked = read_request(calling_ae, association_id, information)
        if asked is None:
            return INVALID_ARGUMENT
        try:
            pledge_id = self._book.take(asked)
        except SQLAlchemyError as error:
            _log.error("a commitment request could not be noted: %s", type(error).__name__)
            return OUT_OF_RESOURCES
        if pledge_id is None:
            return DUPLICATE_TRANSACTION
        if association not in self._said:
            self._steady(association)
            self._said[association] = 0
        said = self._said[association]
        arguments = (association, pledge_id, said)
        threading.Thread(target=self._watch, args=arguments, name="pledge", daemon=True).start()
        return SUCCESS

    def _watch(self, association: Association, pledge_id: int, said: int) -> None:
        """Tell the result on the association if it comes while nothing else happens there."""
        deadline = time.monotonic() + _WATCHED_S
        try:
            while time.monotonic() < deadline:
                time.sleep(_POLL_S)
                if not association.is_established or self._said.get(association) != said:
                    return
                decided = self._book.decided(pledge_id)
                if decided is not None:
                    if self._book.claim(pledge_id, "association"):
                        self._book.told(pledge_id, self._tell(association, decided))
                    return
        except SQLAlchemyError as error:  # the sender tells it
            _log.error("a commitment result could not be read: %s", type(error).__name__)


def read_request(calling_ae: str, association_id: str | None, information: Dataset) -> Asked | None:
    """Read the Action Information (PS3.4 table J.3-1); None where it does not hold together."""
    items = {
        str(item.get("ReferencedSOPInstanceUID", "")): str(item.get("ReferencedSOPClassUID", ""))
        for item in information.get("ReferencedSOPSequence") or []
    }
    transaction = str(information.get("TransactionUID", ""))
    named = [transaction, *items, *items.values()]
    if len(items) > _MOST_ITEMS or any(not 0 < len(uid) <= _UID_LENGTH for uid in named):
        return None
    try:
        return Asked(calling_ae, transaction, items, association_id)
    except JobError:
        return None
