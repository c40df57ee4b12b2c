"""pynetdicom's two threads of an association, woken when there is something to do.

pynetdicom 3.0 has both threads sleep a millisecond and look: every association costs two thousand
wake-ups a second, which take the interpreter from those that work, and each message waits for
several such looks. Here they wait for the socket and for each other, and the thread that reads also
serves C-STORE: its request, its bytes from the socket to the spool, and its response.
"""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from node.receive.guarded_socket import PDU_HEADER_BYTES

if TYPE_CHECKING:
    import socket

    from node.receive.guarded_socket import GuardedSocket
    from node.receive.store_provider import StoreProvider

_P_DATA_TF = 0x04
_LOOK_S = 0.1  # how late a timer, or an end that nobody announces, may be noticed
_WAIT_FOR_MORE_S = 0.05
_END_S = 5.0
_SETTLING_S = 0.002


def serve_once_established(association: Association) -> None:
    """Have requests wait for the end of the negotiation.

    pynetdicom serves an N-EVENT-REPORT in a thread of its own as soon as it has come. A peer that
    sends it with the answer to its association request would be served before our side has noted
    the association, and then gets no answer at all.
    """
    serve = association._serve_request  # noqa: SLF001 - where pynetdicom hands over a request

    def wait_and_serve(message: Any, context_id: int) -> None:  # noqa: ANN401 - any primitive
        while not (association.is_established or association.is_aborted or association._kill):  # noqa: SLF001 - the end of its thread
            time.sleep(_SETTLING_S)
        serve(message, context_id)

    vars(association)["_serve_request"] = wait_and_serve


class _WakingQueue(queue.Queue[Any]):
    """A queue that tells somebody of what is put in."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ANN401, FBT001, FBT002 - queue.Queue's own
        super().put(item, block, timeout)
        self._wake()


class WokenProvider(DULServiceProvider):
    """The upper layer of one association; takes the place of the one that pynetdicom made."""

    def __init__(self, association: Association) -> None:
        made = association.dul
        super().__init__(association)
        self._run_loop_delay = 0.0  # `_is_transport_event` waits
        self._waking = threading.Lock()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._dimse = cast("StoreProvider", association.dimse)
        # The connection has been announced to the original's queue, which nobody serves yet.
        self.socket = made.socket
        self.event_queue = made.event_queue
        self.artim_timer, self._idle_timer = made.artim_timer, made._idle_timer  # noqa: SLF001 - they move here
        self.to_provider_queue = _WakingQueue(self._wake)
        self.to_user_queue = _WakingQueue(self._dimse.wake)

    def close(self) -> None:
        """Release what waiting needed, once the thread has ended."""
        if self.is_alive():
            self.join(_END_S)
        with self._waking:
            if not self.is_alive() and self._event >= 0:
                os.close(self._event)
                self._event = -1

    def kill_dul(self) -> None:
        """Have the thread end at once."""
        super().kill_dul()
        self._wake()

    def stop_dul(self) -> bool:
        """End the thread if the connection is over; tell whether it is."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        if threading.current_thread() is not self:
            self.join()
        return True

    def _wake(self) -> None:
        with self._waking:
            if self._event >= 0:
                os.eventfd_write(self._event, 1)

    def _is_transport_event(self) -> bool:
        """Wait until the peer or our own side wants something; tell whether the peer does."""
        connection = self._connection()
        if connection is None or self.state_machine.current_state == "Sta13":
            return super()._is_transport_event()
        if not self._is_readable(connection, _LOOK_S if self.event_queue.empty() else 0):
            return False
        return super()._is_transport_event()

    def _is_readable(self, connection: socket.socket, seconds: float) -> bool:
        guarded = cast("GuardedSocket", self.socket)
        try:
            if guarded.has_come or guarded.fill():
                return True
        except OSError:
            return True  # it is closed: whoever reads finds out
        poll = select.poll()
        poll.register(self._event, select.POLLIN)
        try:
            poll.register(connection, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll(1000 * seconds)}
        except (OSError, ValueError):
            return True  # it is closed: whoever reads finds out
        if self._event in ready:
            os.eventfd_read(self._event)
        return len(ready) > (self._event in ready)

    def _read_pdu_data(self) -> None:
        """Read a PDU; while a data set is arriving, read on as long as its bytes come."""
        if self.state_machine.current_state != "Sta6":  # of data transfer, PS3.8 table 9-3
            super()._read_pdu_data()
            return
        while self._read_data() and self._dimse.is_spooling and not self._kill_thread:
            connection = self._connection()
            if connection is None or not self._is_readable(connection, _WAIT_FOR_MORE_S):
                return

    def _read_data(self) -> bool:
        """Take one P-DATA-TF of a C-STORE; False if the reading is over for now."""
        guarded = cast("GuardedSocket", self.socket)
        try:
            header = guarded.peek(PDU_HEADER_BYTES)
            if len(header) < PDU_HEADER_BYTES or header[0] != _P_DATA_TF:
                super()._read_pdu_data()
                return False
            length = PDU_HEADER_BYTES + int.from_bytes(header[2:])
            pdu = guarded.peek(length)
        except OSError:  # TimeoutError is one
            self.event_queue.put("Evt17")  # transport connection closed: PS3.8 table 9-10
            return False
        if len(pdu) < length:
            self.event_queue.put("Evt17")
            return False
        self._idle_timer.restart()
        body = pdu[PDU_HEADER_BYTES:]
        if self._dimse.is_spooling:
            guarded.consume(length)
            return self._dimse.receive_pdu(body)
        if not self._dimse.begin(body):
            super()._read_pdu_data()
            return False
        guarded.consume(length)
        return self.event_queue.empty()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """While a request is served here, the peer's silence is not counted."""
        self._idle_timer.stop()
        try:
            yield
        finally:
            self._idle_timer.restart()

    def send_now(self, pdus: bytes) -> None:
        """Send PDUs; only from the thread that reads, which is the one that sends."""
        if self.socket is not None:
            self.socket.send(pdus)

    def _connection(self) -> socket.socket | None:
        return self.socket.socket if self.socket is not None else None
