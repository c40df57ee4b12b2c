"""What happens on an association: request, C-STORE, N-EVENT-REPORT, end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import cast

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from sqlalchemy.exc import SQLAlchemyError

from node.config import Settings
from node.receive import statuses
from node.receive.admission import Rejection, admit, congestion, limit_exceeded, recognise
from node.receive.announced import Announced
from node.receive.associations import AssociationLog
from node.receive.attributes import clean
from node.receive.commitment_requests import NO_SUCH_SOP_CLASS, CommitmentRequests
from node.receive.faults import DeclinedError
from node.receive.inbox import Inbox
from node.receive.limits import Turnstile
from node.receive.rejections import RejectionLog, TurnedAway
from node.receive.services import Counter, Reply
from node.receive.spool_file import SpoolFile
from node.receive.spooling import SpoolingProvider
from node.receive.statuses import Answer
from node.receive.store_command import StoreRequest
from node.receive.transport import certificate_of
from node.tls import fingerprint

_LOG = logging.getLogger(__name__)
TakeCommitment = Callable[[str, int, Dataset], int]
"""Takes the calling AE title, Event Type ID and Event Information; returns the status."""


class Handlers:
    """The event handlers of one receiver."""

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        associations: AssociationLog,
        turnstile: Turnstile,
        rejections: RejectionLog,
        commitments: TakeCommitment | None = None,
        requests: CommitmentRequests | None = None,
        counter: Counter | None = None,
    ) -> None:
        self.counter = counter or Counter()
        self._requests = requests
        self._commitments = commitments
        self._settings = settings
        self._inbox = inbox
        self._associations = associations
        self._turnstile = turnstile
        self._rejections = rejections
        self._open: dict[Association, str] = {}
        self._running = 0
        self._changed = threading.Condition()
        self._draining = False

    def bound(self) -> list[evt.EventHandlerType]:
        """Return the handlers as pynetdicom takes them; C-ECHO is answered by pynetdicom."""
        return [
            (evt.EVT_REQUESTED, self.on_requested),
            (evt.EVT_CONN_CLOSE, self.on_gone),
            (evt.EVT_ACCEPTED, self.on_accepted),
            (evt.EVT_C_STORE, self.on_store),
            (evt.EVT_N_EVENT_REPORT, self.on_event_report),
            (evt.EVT_N_ACTION, self.on_action),
            *self.counter.bound(),
        ]

    def on_requested(self, event: Event) -> None:
        """Reject whom the settings do not admit, and who asks for too much."""
        association = event.assoc
        calling_ae, called_ae, address = _peer(association)
        rejection = self._judge(association, calling_ae, called_ae, address)
        if rejection is None:
            return
        association.acse.send_reject(rejection.result, rejection.source, rejection.diagnostic)
        self._rejections.note(
            TurnedAway(rejection.kind, rejection.reason, address, calling_ae, called_ae)
        )
        association.kill()

    def _judge(
        self, association: Association, calling_ae: str, called_ae: str, address: str
    ) -> Rejection | None:
        if rejection := admit(self._settings.node, calling_ae, called_ae):
            return rejection
        peers = self._settings.tls.peers
        if rejection := recognise(peers, calling_ae, certificate_of(association)):
            return rejection
        if reason := self._turnstile.is_too_fast(calling_ae, address):
            return congestion(reason)
        if reason := self._turnstile.begin(association):
            return limit_exceeded(reason)
        return None

    def on_gone(self, event: Event) -> None:
        """Let go of a connection that has ended before its request.

        pynetdicom would wait for the request until its time is over, and a few machines that
        connect and leave would take all places.
        """
        association = event.assoc
        if association.requestor.primitive is None:
            association.dul.to_user_queue.put(None)

    def on_accepted(self, event: Event) -> None:
        """Open the association's row; without it nothing is accepted on the association."""
        try:
            certificate = certificate_of(event.assoc)
            self._open[event.assoc] = self._associations.opened(
                *_peer(event.assoc), fingerprint(certificate) if certificate else ""
            )
        except SQLAlchemyError as error:
            _LOG.error("an association could not be recorded: %s", type(error).__name__)
            event.assoc.abort()

    def on_end(self, association: Association) -> None:
        """Close the association's row, however it ended."""
        self._turnstile.end(association)
        if self._requests is not None:
            self._requests.ended(association)
        identity = self._open.pop(association, None)
        if identity is None:
            return
        try:
            if association.is_released:
                self._associations.closed(identity, "closed")
            else:
                reason = cast("SpoolingProvider", association.dimse).unfollowable
                self._associations.closed(identity, "aborted", reason)
        except SQLAlchemyError as error:
            _LOG.error("the end of an association was not recorded: %s", type(error).__name__)

    def on_store(self, event: Event) -> Dataset:
        """Answer a C-STORE request that came through pynetdicom."""
        request = cast("C_STORE", event.request)
        file: object = request._dataset_file  # noqa: SLF001 - the public path hides failures
        if not isinstance(file, SpoolFile):
            lacking = Answer.failure(statuses.CANNOT_UNDERSTAND, "the request has no data set")
            return lacking.to_dataset()
        read = StoreRequest(
            event.context.context_id or 0,
            request.MessageID or 0,
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
        )
        return self.take(event.assoc, read, file).to_dataset()

    def take(self, association: Association, request: StoreRequest, file: SpoolFile) -> Answer:
        """Answer a C-STORE request; success only once the inbox has the instance."""
        if self._requests is not None:
            self._requests.heard(association)
        with self._changed:
            if self._draining:
                file.discard()
                return Answer.failure(statuses.OUT_OF_RESOURCES, "the node is stopping")
            self._running += 1
        try:
            return self._store(association, request, file)
        except DeclinedError as error:
            _LOG.warning("declined %04X: %s", error.status, error)
            return Answer.failure(error.status, str(error))
        except Exception as error:  # noqa: BLE001 - the handler boundary: the sender keeps its copy
            _LOG.exception("a C-STORE failed")
            return Answer.failure(statuses.PROCESSING_FAILURE, type(error).__name__)
        finally:
            file.close()
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def on_event_report(self, event: Event) -> Reply:
        """Answer a storage commitment result (PS3.4 section J.3.3); success once it is noted.

        Events of further services go to their counter.
        """
        if self.counter.hears(event):
            return self.counter.on_event(event)
        if self._commitments is None:
            return statuses.PROCESSING_FAILURE, None
        try:
            information = event.event_information
            status = self._commitments(_peer(event.assoc)[0], event.event_type or 0, information)
        except Exception:  # noqa: BLE001 - the handler boundary: the archive may report again
            _LOG.exception("a commitment result could not be noted")
            return statuses.PROCESSING_FAILURE, None
        return status, None

    def on_action(self, event: Event) -> Reply:
        """Answer a storage commitment request (PS3.4 section J.3.2); success once it is noted.

        Those of further services go to their counter.
        """
        if self.counter.serves(event):
            return self.counter.on_action(event)
        if self._requests is None:
            return NO_SUCH_SOP_CLASS, None
        association = event.assoc
        try:
            action = (event.action_type or 0, event.action_information)
            calling_ae, identity = _peer(association)[0], self._open.get(association)
            return self._requests.take(association, identity, calling_ae, action), None
        except Exception:  # noqa: BLE001 - the handler boundary: the modality keeps its copies
            _LOG.exception("a commitment request could not be taken")
            return statuses.PROCESSING_FAILURE, None

    def drain(self, timeout_s: float) -> bool:
        """Decline what comes from now on and wait for what runs; say whether all is done."""
        with self._changed:
            self._draining = True
            return self._changed.wait_for(lambda: self._running == 0, timeout_s)

    def _store(self, association: Association, request: StoreRequest, file: SpoolFile) -> Answer:
        file.close()
        calling_ae, _, address = _peer(association)
        source = f"{calling_ae}@{address}"
        identity = self._open.get(association)
        announced = Announced(request.sop_class_uid, request.sop_instance_uid)
        if file.failure is not None:
            file.discard()
            raise self._inbox.decline(file.failure, source, identity, announced)
        self._inbox.accept(file.path, source, identity, announced, file.sha256)
        return Answer(statuses.SUCCESS)


def _peer(association: Association) -> tuple[str, str, str]:
    """Return calling and called AE title and the address, as the request had them."""
    request = association.requestor.primitive
    address = association.requestor.address_info
    calling_ae = request.calling_ae_title if request else ""
    called_ae = request.called_ae_title if request else ""
    return (
        clean(calling_ae or "", 16),
        clean(called_ae or "", 16),
        address.address if address else "",
    )
