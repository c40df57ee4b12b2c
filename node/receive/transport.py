"""A hardened DICOM upper layer under pynetdicom: bounded PDUs, deadlines, TLS off the accept loop.

pynetdicom 3.0 reads a PDU of whatever length its header claims, 4 KiB at a time and without an
end to its patience. Here the length is capped before a byte of it is read, the whole PDU has a
deadline however slowly its bytes drip, and the socket is read in large pieces.
"""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseServer
from typing import Any, Final, TypeGuard, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import (
    AssociationSocket,
    RequestHandler,
    ThreadedAssociationServer,
)

from node.config import LimitSettings
from node.receive.admission import BLANK_TITLE, Rejection, limit_exceeded
from node.receive.limits import Turnstile
from node.receive.reactor import AwaitedProvider, WokenProvider, serve_once_established
from node.receive.rejections import RejectionLog, TurnedAway
from node.receive.spooling import IN_MEMORY_BYTES, SpoolingProvider
from node.tls import ServerTls

_LOG = logging.getLogger(__name__)

MAXIMUM_PDU_BYTES: Final = 128 << 10
_PDU_SLACK_BYTES = 4 << 10  # some senders do not count the PDV headers (PS3.8 section 9.3.5)
_READ_BYTES = 256 << 10
_PDU_HEADER_BYTES = 6
_HANDSHAKE_DEADLINE_S = 10.0
_SHOWN_OUT = 32  # connections at a time that are told why they were not let in
_SHOWING_OUT_S = 1.0


class GuardedSocket(AssociationSocket):
    """The socket of one association; takes the place of the one that pynetdicom made."""

    def __init__(self, made: AssociationSocket, pdu_deadline_s: float) -> None:
        # The original has announced the connection to the state machine, which must hear of it
        # only once, so its state moves here as it is.
        self.__dict__.update(vars(made))
        self._pdu_deadline_s = pdu_deadline_s
        self._expects_request = True
        self._unread = bytearray()

    def unread(self, header: bytearray) -> None:
        """Give back the header of a PDU, for the next one who reads a header."""
        self._unread = header

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, fewer only if the peer has closed the connection.

        pynetdicom reads a PDU in two calls: its header of 6 bytes, then its body.

        Raises:
            OSError: If the body is longer than a PDU may be.
            TimeoutError: If it has not come within the deadline.
        """
        if self._unread and nr_bytes == len(self._unread):
            received, self._unread = self._unread, bytearray()
            return received
        if nr_bytes > MAXIMUM_PDU_BYTES + _PDU_SLACK_BYTES:
            raise OSError(f"a PDU of {nr_bytes} bytes exceeds {MAXIMUM_PDU_BYTES}")
        connection = cast("socket.socket", self.socket)
        deadline = time.monotonic() + self._pdu_deadline_s
        received = bytearray(nr_bytes)
        view = memoryview(received)
        count = 0
        while count < nr_bytes:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"a PDU took longer than {self._pdu_deadline_s:g} s")
            connection.settimeout(left)
            piece = connection.recv_into(view[count:], min(nr_bytes - count, _READ_BYTES))
            if not piece:
                return received[:count]
            count += piece
        connection.settimeout(self._pdu_deadline_s)
        if self._expects_request and nr_bytes > _PDU_HEADER_BYTES:
            self._expects_request = False
            name_blank_titles(received)
        return received


def name_blank_titles(request: bytearray) -> None:
    """Give blank AE titles in the body of an A-ASSOCIATE-RQ a name, in place.

    pynetdicom aborts over them before any policy is asked, and an abort tells an administrator
    nothing; with a name `admission` can reject them for a reason or admit them.
    """
    for start in (4, 20):  # called and calling AE title, PS3.8 table 9-11
        if not request[start : start + 16].strip(b" \0"):
            request[start : start + 16] = BLANK_TITLE.encode().ljust(16)


class GuardedRequestHandler(RequestHandler):
    """Sets up an association; runs in a thread of its own."""

    server: GuardedServer

    def setup(self) -> None:
        """Shake hands here, where a silent peer holds up nobody else."""
        connection = cast("socket.socket", self.request)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_HANDSHAKE_DEADLINE_S)
        if isinstance(connection, ssl.SSLSocket):
            connection.do_handshake()
        connection.settimeout(self.server.settings.limits.pdu_s)

    def handle(self) -> None:
        """Serve the association and stay until its end, which pynetdicom announces nowhere."""
        association = self._create_association()
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
        association.start()
        association.join()
        cast("WokenProvider", association.dul).close()
        cast("SpoolingProvider", association.dimse).drop_incomplete()
        self.server.settings.on_end(association)

    def _create_association(self) -> Association:
        association = super()._create_association()
        settings = self.server.settings
        made = cast("AssociationSocket", association.dul.socket)
        association.dul.socket = GuardedSocket(made, settings.limits.pdu_s)
        association.dimse = AwaitedProvider(
            association,
            settings.spool,
            settings.has_room,
            settings.limits.maximum_instance_bytes,
            settings.in_memory_bytes,
        )
        association.dul = WokenProvider(association)
        serve_once_established(association)
        return association


def certificate_of(association: Association) -> bytes | None:
    """Return the peer's certificate (DER) as TLS has verified it; None where it showed none."""
    connection = getattr(association.dul.socket, "socket", None)
    return connection.getpeercert(binary_form=True) if _is_tls(connection) else None


def _is_tls(connection: object) -> TypeGuard[ssl.SSLSocket]:
    return isinstance(connection, ssl.SSLSocket)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the server needs besides what pynetdicom gives it.

    Attributes:
        spool: The folder for data sets that arrive.
        has_room: Whether a data set may be written at all.
        on_end: Called once an association is over, however it ended.
        turnstile: Counts the connections.
        rejections: Where it is noted who was turned away.
        tls: The server side of TLS, None for plain TCP.
        shares_port: Other processes of this node listen on the same port.
        in_memory_bytes: Of a message that is no C-STORE.
    """

    spool: Path
    has_room: Callable[[], bool]
    on_end: Callable[[Association], None]
    limits: LimitSettings
    turnstile: Turnstile
    rejections: RejectionLog
    tls: ServerTls | None = None
    shares_port: bool = False
    in_memory_bytes: int = IN_MEMORY_BYTES


class GuardedServer(ThreadedAssociationServer):
    """Accepts connections, a thread each."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - pynetdicom's own
        settings: ServerSettings,
        **kwargs: Any,  # noqa: ANN401 - same
    ) -> None:
        self.settings = settings
        self._leaving: deque[tuple[float, socket.socket]] = deque()
        super().__init__(*args, **kwargs)

    def server_bind(self) -> None:
        """Bind the port; several receivers of one node may share it, and nobody besides."""
        if self.settings.shares_port:
            cast("socket.socket", self.socket).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def shutdown(self) -> None:
        """Stop accepting connections; associations go on."""
        BaseServer.shutdown(self)
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; TLS is negotiated later, in the connection's own thread."""
        connection, address = cast("socket.socket", self.socket).accept()
        if self.settings.tls is not None:
            connection = self.settings.tls.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401 - socketserver's
        """Let a connection in unless it is one too many."""
        address = str(client_address[0])
        reason = self.settings.turnstile.enter(address)
        if not reason:
            return True
        rejection = limit_exceeded(reason)
        self.settings.rejections.note(TurnedAway(rejection.kind, reason, address))
        self._show_out(request, rejection)
        return False

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - same
        """Give the connection a thread; without one it is over."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self.settings.turnstile.leave(str(client_address[0]))
            raise

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - same
        """Serve the connection to its end, in its own thread."""
        try:
            super().finish_request(request, client_address)
        finally:
            self.settings.turnstile.leave(str(client_address[0]))

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - same
        """Close a connection, but not while it is being shown out."""
        if not any(connection is request for _, connection in self._leaving):
            super().shutdown_request(request)

    def service_actions(self) -> None:
        """Close those that were shown out, once they have had the time to read why."""
        super().service_actions()
        while self._leaving and self._leaving[0][0] < time.monotonic():
            self._leaving.popleft()[1].close()

    def _show_out(self, connection: socket.socket, rejection: Rejection) -> None:
        """Answer before the question; the peer reads it in place of an answer to its request.

        A connection that is closed with its request unread is reset, and the answer is lost: so a
        few are held open for a moment. Over TLS there was no handshake: it ends without a word.
        """
        if isinstance(connection, ssl.SSLSocket) or len(self._leaving) >= _SHOWN_OUT:
            return
        connection.setblocking(False)
        with suppress(OSError):
            connection.send(rejection.encoded())
            connection.shutdown(socket.SHUT_WR)
        self._leaving.append((time.monotonic() + _SHOWING_OUT_S, connection))

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's
        """Log one line about a connection that failed before it became an association."""
        del request
        _LOG.warning("connection from %s failed: %s", client_address[0], sys.exc_info()[1])
