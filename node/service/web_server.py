"""How the web is served: HTTPS with renewable certificates, a bound on connections and patience."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from node.config import LimitSettings, Settings, is_loopback
from node.receive.limits import Turnstile
from node.service.compose import Foundation
from node.tls import ServerTls, server_context

_GRACE_S = 30


def web_server(app: FastAPI, foundation: Foundation) -> uvicorn.Server:
    """Return the server of the web, to be run with a listening socket.

    Raises:
        ConfigurationError: If the certificate or its key cannot be loaded.
    """
    settings = foundation.settings
    http = partial(PatientHttp, limits=settings.limits, turnstile=Turnstile(settings.limits))
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", http),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        limit_concurrency=settings.limits.maximum_connections,
    )
    config.load()
    config.ssl = web_tls(foundation)
    return uvicorn.Server(config)


def web_tls(foundation: Foundation) -> ssl.SSLContext | None:
    """Return the context of HTTPS, None where `[web]` names no certificate.

    Each handshake takes the newest certificate.
    """
    web = foundation.settings.web
    if web.certificate is None:
        return None

    def make() -> ssl.SSLContext:
        return server_context(web)

    def renewed(mark: str) -> None:
        with foundation.database.begin() as connection:
            facts = {"certificate": mark}
            foundation.trail.record(connection, "system", "certificate-renewed", "web", facts)

    files = (web.certificate, web.key, web.key_password_file)
    tls = ServerTls("web", make, files, renewed)

    def newest(handshake: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        del name, context
        handshake.context = tls.context

    front = make()
    front.sni_callback = newest  # called for every handshake, with a name or without
    return front


def scheme(settings: Settings) -> str:
    """Return how the web is addressed."""
    return "http" if settings.web.certificate is None else "https"


class PatientHttp(H11Protocol):
    """uvicorn's HTTP with a bound on how long a peer may take to ask, and on its connections.

    uvicorn waits without end for a first request, for the rest of its head and for a body.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - uvicorn's own
        limits: LimitSettings,
        turnstile: Turnstile,
        **kwargs: Any,  # noqa: ANN401 - same
    ) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._turnstile = turnstile
        self._phase = ""
        self._clock: asyncio.TimerHandle | None = None
        self._counted = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a connection in unless its peer has too many."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        # Behind a proxy on this machine all clients have its address.
        if not is_loopback(address):
            if self._turnstile.enter(address):
                transport.abort()
                return
            self._counted = address
        self._expect()

    def handle_events(self) -> None:
        """Handle what has come and wait for what comes next, no longer than it may take."""
        super().handle_events()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._calm()
        if self._counted:
            self._turnstile.leave(self._counted)
            self._counted = ""

    def _expect(self) -> None:
        """Set the clock: the head of a request has one time as a whole, a body one a piece."""
        before, self._phase = self._phase, self._awaited()
        if (before, self._phase) == ("head", "head"):
            return
        self._calm()
        if self._phase:
            seconds = self._limits.request_s if self._phase == "head" else self._limits.pdu_s
            self._clock = self.loop.call_later(seconds, self._lose_patience)

    def _awaited(self) -> str:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn sets it with the first request
        if cycle is None:
            return "head"
        if cycle.response_complete:
            return "head" if self.conn.trailing_data[0] else ""
        return "body" if cycle.more_body else ""

    def _lose_patience(self) -> None:
        if self._phase == "body" and self.flow.read_paused:
            self._expect()  # it is we who do not read
        elif self._awaited() == self._phase:
            self.transport.abort()

    def _calm(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
