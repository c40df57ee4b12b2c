"""The DIMSE layer of an association that is accepted: C-STORE served by the thread that reads.

pynetdicom makes a dozen objects of a request and of its response and hands them from thread to
thread; with a receiver at its limit that is half of the work. Requests of other services, and those
that are put in an unusual way, go through pynetdicom as ever.
"""

from __future__ import annotations

import queue
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from pynetdicom.association import Association
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from node.receive.spool_file import SpoolFile
from node.receive.spooling import PDV_HEADER, Spooling, SpoolingProvider
from node.receive.statuses import Answer
from node.receive.store_command import StoreRequest, as_pdus, read_request, response

if TYPE_CHECKING:
    from node.receive.reactor import WokenProvider

_WHOLE_COMMAND: Final = 0x03  # message control header of a command's only fragment, PS3.8 E.2
_LOOK_S = 0.1  # how late an end that nobody announces may be noticed

TakeInstance = Callable[[Association, StoreRequest, SpoolFile], Answer]
"""Takes an instance over that has arrived; returns what its sender is told, whatever happens."""


class StoreProvider(SpoolingProvider):
    """Serves C-STORE itself; its association waits for other messages instead of asking for one."""

    def __init__(self, association: Association, spooling: Spooling, take: TakeInstance) -> None:
        super().__init__(association, spooling)
        self._take = take
        self._request: StoreRequest | None = None
        self._is_served = False
        self._storage_contexts: dict[int, str] = {}

    def get_msg(self, block: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - pynetdicom's own
        """Return the next message with its context, or (None, None) after a short wait."""
        if block:
            return super().get_msg(block=True)
        self._is_served = True  # the association is noted and its loop runs
        try:
            return self.msg_queue.get(timeout=_LOOK_S)
        except queue.Empty:
            return None, None

    def wake(self) -> None:
        """Have the association look at once: something else than a message has come."""
        self.msg_queue.put(cast("Any", (None, None)))

    def begin(self, body: memoryview) -> bool:
        """Take the body of a P-DATA-TF (PS3.8 section 9.3.5) that begins with a C-STORE request.

        Returns:
            False if it does not, or pynetdicom has to see to it.
        """
        request = self._request_of(body)
        if request is None:
            return False
        try:
            file = self.open_file(
                request.context_id, request.sop_class_uid, request.sop_instance_uid
            )
        except OSError as error:
            self.abort_over(error)
            return True
        self._request = request
        self.spool_to(file)
        (length,) = struct.unpack_from(">L", body)
        if rest := body[4 + length :]:
            self.receive_pdu(rest)
        return True

    def _request_of(self, body: memoryview) -> StoreRequest | None:
        if not self._is_served or self.message is not None or len(body) < PDV_HEADER.size:
            return None
        length, context_id, control = PDV_HEADER.unpack_from(body)
        whole = control == _WHOLE_COMMAND and 4 + length <= len(body)
        if not whole or length - 1 > self._spooling.in_memory_bytes:
            return None  # what is too long pynetdicom's way ends
        request = read_request(context_id, bytes(body[PDV_HEADER.size : 4 + length]))
        if request is None or self._storage_class(context_id) != request.sop_class_uid:
            return None
        return request

    def _storage_class(self, context_id: int) -> str:
        """Return the SOP class of an accepted presentation context, "" if it is no storage."""
        if context_id not in self._storage_contexts:
            context = self.assoc._accepted_cx.get(context_id)  # noqa: SLF001 - it has no public list by id
            uid = str(context.abstract_syntax) if context else ""
            is_storage = bool(uid) and uid_to_service_class(uid) is StorageServiceClass
            self._storage_contexts[context_id] = uid if is_storage else ""
        return self._storage_contexts[context_id]

    def _receive(self, fragment: tuple[int, bytes]) -> None:
        if self._request is not None:
            raise ValueError("another message begins within a data set")
        super()._receive(fragment)

    def complete(self, context_id: int) -> None:
        """Take the end of a data set; answer its request, unless pynetdicom has it."""
        request = self._request
        if request is None:
            super().complete(context_id)
            return
        self._request = None
        file = self.take_file()
        provider = cast("WokenProvider", self.dul)
        with provider.serving():
            answer = self._take(self.assoc, request, file)
            if self.assoc.is_established:
                command = response(request, answer.status, answer.comment)
                provider.send_now(as_pdus(request.context_id, command, self.maximum_pdu_size))
