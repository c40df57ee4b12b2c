"""A hardened DICOM upper layer under pynetdicom: who may connect, TLS off the accept loop.

See `guarded_socket` for the bytes, `reactor` for the threads of an association.
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
from socketserver import BaseServer
from typing import Any, TypeGuard, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import (
    AssociationSocket,
    RequestHandler,
    ThreadedAssociationServer,
)

from node.config import LimitSettings
from node.receive.admission import Rejection, limit_exceeded
from node.receive.guarded_socket import GuardedSocket
from node.receive.limits import Turnstile
from node.receive.reactor import WokenProvider, serve_once_established
from node.receive.rejections import RejectionLog, TurnedAway
from node.receive.spooling import Spooling, SpoolingProvider
from node.receive.store_provider import StoreProvider, TakeInstance
from node.tls import ServerTls

_LOG = logging.getLogger(__name__)

_HANDSHAKE_DEADLINE_S = 10.0
_SHOWN_OUT = 32  # connections at a time that are told why they were not let in
_SHOWING_OUT_S = 1.0


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
        association.dimse = StoreProvider(association, settings.spooling, settings.take)
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
        spooling: Where data sets go, and how much is taken.
        take: Takes over an instance that has arrived.
        on_end: Called once an association is over, however it ended.
        turnstile: Counts the connections.
        rejections: Where it is noted who was turned away.
        tls: The server side of TLS, None for plain TCP.
        shares_port: Other processes of this node listen on the same port.
    """

    spooling: Spooling
    take: TakeInstance
    on_end: Callable[[Association], None]
    limits: LimitSettings
    turnstile: Turnstile
    rejections: RejectionLog
    tls: ServerTls | None = None
    shares_port: bool = False


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
