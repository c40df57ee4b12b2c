"""Asking an archive and getting instances from it: C-FIND and C-GET (PS3.4 annex C).

One association carries both. C-GET brings the instances back over it, for which we take the role
of the storage SCP (PS3.7 section D.3.3.4); no archive has to know our address.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Final

from pydicom import Dataset
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from node.deliver.association import Peer, open_association
from node.deliver.statuses import SUCCESS, status_name
from node.errors import DeliveryError

# Study Root Query/Retrieve Information Model (PS3.4 section C.6.2)
FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
_PENDING: Final = frozenset({0xFF00, 0xFF01})  # PS3.4 sections C.4.1.1.4 and C.4.3.1.4
_MOST_ANSWERS: Final = 1000  # to one query; an archive that ignores the keys has more
_LARGEST_BYTES: Final = 32 << 20


class Query:
    """An open association that finds and gets until a moment."""

    def __init__(
        self, peer: Peer, association: Association, until: float, got: list[bytes]
    ) -> None:
        self._peer = peer
        self._association = association
        self._until = until
        self._got = got
        self._message_ids = (number % 0xFFFF + 1 for number in count())

    def find(self, level: str, **keys: str) -> list[Dataset]:
        """Return the matches of one query; an empty key asks for the value.

        Raises:
            DeliveryError: If the archive fails, does not answer in time, or answers without end.
        """
        identifier = Dataset()
        if not all(value.isascii() for value in keys.values()):
            identifier.SpecificCharacterSet = "ISO_IR 192"
        identifier.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        matches: list[Dataset] = []
        try:
            answers = self._association.send_c_find(identifier, FIND, next(self._message_ids))
            for status, match in answers:
                self._go_on(status, "C-FIND")
                if match is not None and status.Status in _PENDING:
                    matches.append(match)
                if len(matches) > _MOST_ANSWERS:
                    raise DeliveryError(f"{self._peer}: C-FIND has over {_MOST_ANSWERS} answers")
        except (RuntimeError, ValueError) as error:
            raise DeliveryError(f"{self._peer}: C-FIND failed: {error}") from error
        return matches

    def get(self, study: str, series: str, instance: str) -> bytes | None:
        """Return one instance as a Part 10 file; None if the archive does not give it.

        Raises:
            DeliveryError: If the archive fails, or does not answer in time.
        """
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "IMAGE"
        identifier.StudyInstanceUID = study
        identifier.SeriesInstanceUID = series
        identifier.SOPInstanceUID = instance
        self._got.clear()
        try:
            answers = self._association.send_c_get(identifier, GET, next(self._message_ids))
            for status, _ in answers:
                self._go_on(status, "C-GET", warnings=True)
        except (RuntimeError, ValueError) as error:
            raise DeliveryError(f"{self._peer}: C-GET failed: {error}") from error
        return self._got[0] if self._got else None

    def _go_on(self, status: Dataset, what: str, *, warnings: bool = False) -> None:
        if "Status" not in status:
            raise DeliveryError(f"{self._peer}: {what} got no answer")
        if time.monotonic() > self._until:
            raise DeliveryError(f"{self._peer}: {what} took too long")
        partly = warnings and status.Status >> 12 == 0xB  # the instance did not come
        if status.Status != SUCCESS and status.Status not in _PENDING and not partly:
            raise DeliveryError(f"{self._peer}: {what} failed with {status_name(status.Status)}")


@contextmanager
def querying(peer: Peer, storage: Sequence[str], until: float) -> Iterator[Query]:
    """An association that can find, and get instances of some SOP classes.

    Args:
        peer: Whom to ask.
        storage: SOP classes that may be got.
        until: `time.monotonic()` after which every answer is too late.

    Raises:
        DeliveryError: If the peer is not there, or offers no C-FIND, no C-GET, or not the roles
            that C-GET needs.
    """
    got: list[bytes] = []

    def keep(event: evt.Event) -> int:
        data = event.encoded_dataset()
        if len(data) > _LARGEST_BYTES:
            return 0xA700  # out of resources, PS3.4 section B.2.3
        got.append(data)
        return SUCCESS

    contexts = [build_context(one) for one in (FIND, GET, *storage)]
    roles = [build_role(one, scp_role=True) for one in storage]
    association = open_association(peer, contexts, [(evt.EVT_C_STORE, keep)], roles)
    try:
        _check_offers(peer, association, storage)
        yield Query(peer, association, until, got)
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _check_offers(peer: Peer, association: Association, storage: Sequence[str]) -> None:
    accepted = {str(one.abstract_syntax): one for one in association.accepted_contexts}
    for needed, name in ((FIND, "C-FIND"), (GET, "C-GET")):
        if needed not in accepted:
            raise DeliveryError(f"{peer} offers no Study Root {name}")
    if not any(one in accepted and accepted[one].as_scp for one in storage):
        raise DeliveryError(f"{peer} gives no reports by C-GET: it refuses the storage role")
