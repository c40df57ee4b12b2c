"""What every answer tells the browser: what it may load, keep, show and pass on."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The pages' own files from /static and nothing else: no script and no style inside a page, so
# that text of a DICOM header which found its way into one could do nothing.
_SOURCES: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "frame-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_ALWAYS: Final = {
    "Content-Security-Policy": "; ".join(f"{kind} {allowed}" for kind, allowed in _SOURCES.items()),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
_HTTPS: Final = {"Strict-Transport-Security": "max-age=31536000"}
_STATIC: Final = "/static/"


class SecurityHeaders:
    """ASGI middleware: adds them to every answer, whoever made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = dict(_ALWAYS)
        if scope["scheme"] == "https":
            wanted |= _HTTPS
        if not scope["path"].startswith(_STATIC):
            wanted["Cache-Control"] = "no-store"  # what is shown is about patients

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # A document that may do even less says so itself.
                headers.update({k: v for k, v in wanted.items() if k not in headers})
            await send(message)

        await self._app(scope, receive, answer)
