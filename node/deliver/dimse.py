"""C-STORE and the read-back by C-FIND (PS3.4 annexes B and C)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Self

import pynetdicom._config
from pydicom import Dataset, dcmread
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from node.boundaries import passing
from node.deliver.archive import Proof, Standing
from node.deliver.association import NothingAcceptedError, Peer, open_association
from node.deliver.contexts import Batch, Encoded, batches, encode_all
from node.deliver.package import Outgoing
from node.deliver.statuses import StoreAnswer, judge_store_status, status_name
from node.errors import DeliveryError

# Sends files as they lie on the disk instead of decoding and encoding them again.
pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True  # noqa: SLF001 - pynetdicom's documented switch

_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # PS3.4 section C.6.2.3
_PENDING = frozenset({0xFF00, 0xFF01})  # PS3.4 section C.4.1.1.4
_NO_ANSWER = "no answer: the association was lost or timed out"


class DimseArchive:
    """An archive reached by DIMSE and proven by query.

    One association a batch of contexts carries both the objects and the queries; it is opened
    with the first request, kept, and opened again after the peer has dropped it.
    """

    def __init__(self, peer: Peer, *, query: bool = True) -> None:
        self._peer = peer
        self._query = query
        self._open: tuple[Batch, Association] | None = None
        self._message_ids = (number % 0xFFFF + 1 for number in count())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the association, if there is one."""
        if self._open is not None:
            association, self._open = self._open[1], None
            if association.is_established:
                association.release()

    def connect(self, objects: Sequence[Outgoing]) -> None:
        """Open the association that the first of the objects will use.

        Raises:
            DeliveryError: If there is none.
        """
        encoded, _ = encode_all(objects)
        for batch in self._batches(encoded)[:1]:
            self._association(batch)

    def store(self, objects: Sequence[Outgoing]) -> Mapping[str, StoreAnswer]:
        """Send objects by C-STORE, the bytes of their data sets unchanged.

        An object that costs the association fails alone; the others go over a new one.
        """
        return dict(self.store_each(objects))

    def store_each(self, objects: Sequence[Outgoing]) -> Iterator[tuple[str, StoreAnswer]]:
        """Send objects as `store` does; give each answer when it is there."""
        encoded, unreadable = encode_all(objects)
        for uid, reason in unreadable.items():
            yield uid, StoreAnswer(stored=False, detail=reason, permanent=True)
        for batch in self._batches(encoded):
            for item in batch.objects:
                try:
                    answer = self._store(self._association(batch), item)
                except NothingAcceptedError as error:
                    answer = StoreAnswer(stored=False, detail=str(error), permanent=True)
                except DeliveryError as error:
                    answer = StoreAnswer(stored=False, detail=str(error), down=True)
                passing("first-sent")
                yield item.outgoing.sop_instance_uid, answer

    def prove(self, objects: Sequence[Outgoing]) -> Mapping[str, Proof]:
        """Look for objects by C-FIND at the IMAGE level of the Study Root.

        Raises:
            DeliveryError: If there is no association, or the query fails.
        """
        uids = [item.sop_instance_uid for item in objects]
        try:
            association = self._association(self._open[0] if self._open else Batch(()))
        except NothingAcceptedError:
            return dict.fromkeys(uids, self._unprovable)
        offered = {context.abstract_syntax for context in association.accepted_contexts}
        if _STUDY_ROOT_FIND not in offered:
            return dict.fromkeys(uids, self._unprovable)
        return {item.sop_instance_uid: self._find(association, item) for item in objects}

    @property
    def _unprovable(self) -> Proof:
        reason = f"{self._peer} offers no Study Root C-FIND: set verify to commitment or none"
        return Proof(Standing.UNPROVABLE, reason)

    def _batches(self, encoded: Sequence[Encoded]) -> list[Batch]:
        return batches(encoded, reserved=1 if self._query else 0)

    def _association(self, batch: Batch) -> Association:
        if self._open is not None:
            opened_for, association = self._open
            # A query needs no context of any object: any association will do.
            if association.is_established and batch in (opened_for, Batch(())):
                return association
            self.close()
        find = [build_context(_STUDY_ROOT_FIND)] if self._query else []
        association = open_association(self._peer, [*find, *batch.contexts])
        self._open = (batch, association)
        return association

    def _drop(self) -> None:
        """Abort an association that gave no answer; pynetdicom may not know yet that it is lost."""
        if self._open is not None:
            association, self._open = self._open[1], None
            association.abort()

    def _store(self, association: Association, item: Encoded) -> StoreAnswer:
        accepted = {
            (context.abstract_syntax, context.transfer_syntax[0])
            for context in association.accepted_contexts
        }
        pair = next((pair for pair in item.pairs if pair in accepted), None)
        if pair is None:
            name = f"{UID(item.outgoing.sop_class_uid).name} in {item.transfer_syntax.name}"
            return StoreAnswer(
                stored=False, detail=f"{self._peer} does not accept {name}", permanent=True
            )
        path = item.outgoing.path
        converted = pair[1] == ImplicitVRLittleEndian != item.transfer_syntax
        try:
            # Only a peer that knows nothing but the default transfer syntax gets other bytes.
            what = dcmread(path) if converted else path
            status = association.send_c_store(what, next(self._message_ids))
        except OSError as error:
            return StoreAnswer(stored=False, detail=f"{path} cannot be read: {error}")
        except ValueError as error:
            reason = f"{path} cannot be encoded in the default transfer syntax: {error}"
            return StoreAnswer(stored=False, detail=reason, permanent=True)
        except RuntimeError:  # the peer has just aborted or released
            status = Dataset()
        if "Status" not in status:
            self._drop()
            return StoreAnswer(stored=False, detail=_NO_ANSWER, down=True)
        return judge_store_status(status.Status)

    def _find(self, association: Association, item: Outgoing) -> Proof:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "IMAGE"
        identifier.StudyInstanceUID = item.study_instance_uid
        identifier.SeriesInstanceUID = item.series_instance_uid
        identifier.SOPInstanceUID = item.sop_instance_uid
        found = False
        try:
            for status, match in association.send_c_find(
                identifier, _STUDY_ROOT_FIND, next(self._message_ids)
            ):
                if "Status" not in status:
                    self._drop()
                    raise DeliveryError(f"{self._peer}: C-FIND got {_NO_ANSWER}")
                if status.Status in _PENDING:
                    # An archive may ignore a key: only the UID itself is a proof.
                    found |= (
                        match is not None
                        and match.get("SOPInstanceUID") == identifier["SOPInstanceUID"].value
                    )
                elif status.Status != 0:
                    raise DeliveryError(
                        f"{self._peer}: C-FIND failed with {status_name(status.Status)}"
                    )
        except RuntimeError as error:
            raise DeliveryError(f"{self._peer}: C-FIND got {_NO_ANSWER}") from error
        return Proof(Standing.THERE) if found else Proof(Standing.ABSENT, "not found by query yet")
