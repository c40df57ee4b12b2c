"""Storage Commitment Push Model as SCU (PS3.4 annex J): the archive takes responsibility.

The result is an N-EVENT-REPORT. It comes on the association that asked, while we hold that
open, or later on one that the archive opens to our own DICOM port: `read_event_report` reads
both, so the receiver uses it as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.presentation import build_context

from node.deliver.archive import Proof, Standing
from node.deliver.association import NothingAcceptedError, Peer, associated
from node.deliver.dimse import DimseArchive
from node.deliver.package import Outgoing
from node.deliver.statuses import NO_SUCH_OBJECT_INSTANCE, StoreAnswer, status_name
from node.errors import DeliveryError

PUSH_MODEL = "1.2.840.10008.1.20.1"  # PS3.4 section J.3.5
WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"  # PS3.4 section J.3.5
_REQUEST = 1  # Action Type ID, PS3.4 table J.3-1
_EVENTS = frozenset({1, 2})  # Event Type ID: all committed; failures exist. PS3.4 table J.3-2
_PROCESSING_FAILURE = 0x0110  # PS3.7 section C.5.21
_NO_SUCH_EVENT_TYPE = 0x0113  # PS3.7 section C.5.13


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """What an archive reported about one request.

    Attributes:
        committed: SOP Instance UIDs that it is responsible for now.
        failed: The others, each with its Failure Reason (0008,1197).
    """

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, int]

    def proof(self, sop_instance_uid: str) -> Proof:
        """Return what the result says about one object; nothing at all is no proof."""
        if sop_instance_uid in self.failed:
            reason = self.failed[sop_instance_uid]
            absent = reason == NO_SUCH_OBJECT_INSTANCE
            text = f"not committed: {status_name(reason)}"
            return Proof(Standing.ABSENT if absent else Standing.UNKNOWN, text)
        if sop_instance_uid in self.committed:
            return Proof(Standing.THERE, "committed")
        return Proof(Standing.UNKNOWN, "not named in the commitment result")


def read_event_report(event_type: int, information: Dataset) -> CommitmentResult:
    """Read the Event Information of an N-EVENT-REPORT (PS3.4 table J.3-2).

    Raises:
        DeliveryError: If it is no storage commitment result.
    """
    if event_type not in _EVENTS or not information.get("TransactionUID"):
        raise DeliveryError(f"event type {event_type} is no storage commitment result")
    failed = {
        str(item.get("ReferencedSOPInstanceUID", "")): int(
            item.get("FailureReason") or _PROCESSING_FAILURE
        )
        for item in information.get("FailedSOPSequence") or []
    }
    named = {
        str(item.get("ReferencedSOPInstanceUID", ""))
        for item in information.get("ReferencedSOPSequence") or []
    }
    return CommitmentResult(
        str(information.TransactionUID), frozenset(named - failed.keys()), failed
    )


def event_report_handler(
    take: Callable[[CommitmentResult], None],
) -> Callable[[evt.Event], tuple[int, Dataset | None]]:
    """Return a handler for pynetdicom's EVT_N_EVENT_REPORT that hands every result to `take`.

    The receiver registers it for results that come on an association of the archive's own; it
    supports the Storage Commitment SOP class there with `scu_role=True` (role selection,
    PS3.7 section D.3.3.4). `take` runs before the archive gets its answer.
    """

    def handle(event: evt.Event) -> tuple[int, Dataset | None]:
        try:
            result = read_event_report(event.event_type or 0, event.event_information)
        except DeliveryError:
            return _NO_SUCH_EVENT_TYPE, None
        take(result)
        return 0x0000, None

    return handle


class CommitmentClient:
    """An archive reached by DIMSE and proven by storage commitment.

    Args:
        peer: The archive.
        transaction_root: A UID below which requests are numbered; "" takes a new UID for each.
    """

    def __init__(self, peer: Peer, transaction_root: str = "") -> None:
        self._peer = peer
        self._transaction_root = transaction_root
        self._requests = 0
        self._storage = DimseArchive(peer, query=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._storage.close()

    def store(self, objects: Sequence[Outgoing]) -> Mapping[str, StoreAnswer]:
        """Send objects by C-STORE."""
        return self._storage.store(objects)

    def prove(self, objects: Sequence[Outgoing]) -> Mapping[str, Proof]:
        """Ask for commitment and wait for the result on the same association.

        An object without a result within `commitment_s` is unknown, under the Transaction UID
        of the request: never proven.

        Raises:
            DeliveryError: If there is no association, or the request is refused.
        """
        transaction_uid = self._transaction()
        try:
            result = self.request(objects, transaction_uid)
        except NothingAcceptedError:
            reason = f"{self._peer} offers no storage commitment: set verify to query or none"
            unprovable = Proof(Standing.UNPROVABLE, reason)
            return {item.sop_instance_uid: unprovable for item in objects}
        if result is not None:
            return {item.sop_instance_uid: result.proof(item.sop_instance_uid) for item in objects}
        waiting = Proof(Standing.UNKNOWN, "no commitment result yet", transaction_uid)
        return {item.sop_instance_uid: waiting for item in objects}

    def _transaction(self) -> str:
        if not self._transaction_root:
            return str(generate_uid(prefix=None))
        self._requests += 1
        return f"{self._transaction_root}.{self._requests}"

    def request(self, objects: Sequence[Outgoing], transaction_uid: str) -> CommitmentResult | None:
        """Send the N-ACTION; return the result if it comes on the same association in time.

        Raises:
            DeliveryError: If there is no association, or the request is refused.
        """
        inbox = _Inbox(transaction_uid)
        handlers = [
            (evt.EVT_N_EVENT_REPORT, event_report_handler(inbox.take)),
            (evt.EVT_PDU_SENT, inbox.answered),
        ]
        contexts = [build_context(PUSH_MODEL)]
        with associated(self._peer, contexts, handlers) as association:
            try:
                status, _ = association.send_n_action(
                    _information(objects, transaction_uid),
                    _REQUEST,
                    PUSH_MODEL,
                    WELL_KNOWN_INSTANCE,
                )
            except RuntimeError as error:
                raise DeliveryError(f"{self._peer} dropped the association") from error
            if "Status" not in status:
                raise DeliveryError(f"{self._peer} did not answer the commitment request")
            if status.Status != 0:
                name = status_name(status.Status)
                raise DeliveryError(f"{self._peer} refused the commitment request with {name}")
            return inbox.wait(self._peer.timeouts.commitment_s)


class _Inbox:
    """Where the association's thread leaves the result that we wait for."""

    def __init__(self, transaction_uid: str) -> None:
        self._transaction_uid = transaction_uid
        self._answered = threading.Event()
        self._result: CommitmentResult | None = None

    def take(self, result: CommitmentResult) -> None:
        if result.transaction_uid == self._transaction_uid:
            self._result = result

    def answered(self, event: evt.Event) -> None:
        # The association must not be released before the archive has our response.
        del event
        if self._result is not None:
            self._answered.set()

    def wait(self, seconds: float) -> CommitmentResult | None:
        self._answered.wait(seconds)
        return self._result


def _information(objects: Sequence[Outgoing], transaction_uid: str) -> Dataset:
    """Return the Action Information (PS3.4 table J.3-1)."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for item in objects:
        reference = Dataset()
        reference.ReferencedSOPClassUID = item.sop_class_uid
        reference.ReferencedSOPInstanceUID = item.sop_instance_uid
        information.ReferencedSOPSequence.append(reference)
    return information
