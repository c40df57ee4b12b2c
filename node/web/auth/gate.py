"""The gate before every route: it recognises who asks, and lets in as the route declares.

A route that declares no need is refused to everybody. The gate stands before the body is read, so
that nobody unknown makes the node work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from node.errors import InputError
from node.web.auth.credentials import same
from node.web.auth.forms import CSRF_FIELD, CSRF_HEADER, body_of, fields, is_form, replayed
from node.web.auth.identity import Person
from node.web.auth.limits import Limiter
from node.web.auth.rules import Rule, rules
from node.web.auth.sights import Look

Identify = Callable[[Request], Person | None]
"""Says who sent a request; may ask the database."""
NoteRefusal = Callable[[Person | None, Request, str, int, str], None]
"""Keeps the record of a refusal: who, request, route, status, reason; may write to the database."""
NoteLook = Callable[[Person, Request, Look], None]
"""Keeps the record of who looks at what, before it is answered."""
LOGIN: Final = "/login"
_SAFE: Final = {"GET", "HEAD", "OPTIONS"}
_UNKNOWN_PER_MINUTE: Final = 300.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in, as it is answered."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


class Gate:
    """ASGI middleware: recognises, then lets in or refuses.

    Args:
        app: What stands behind it.
        application: Whose routes they are.
        identify: Says who sent a request.
        note: Keeps the record of refusals; None keeps none.
        look: Keeps the record of who looks at what; None keeps none.
        per_minute: Requests that one person or token may make; 0 sets no limit.
    """

    def __init__(
        self,
        app: ASGIApp,
        application: FastAPI,
        identify: Identify,
        note: NoteRefusal | None = None,
        look: NoteLook | None = None,
        per_minute: float = 0,
    ) -> None:
        self._app = app
        self._application = application
        self._identify = identify
        self._note = note
        self._look = look
        self._rules: tuple[Rule, ...] | None = None
        self._known = Limiter(per_minute, max(1.0, per_minute / 4))
        unknown = min(per_minute, _UNKNOWN_PER_MINUTE)
        self._unknown = Limiter(unknown, max(1.0, unknown / 2))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # the node has no websockets: a handshake ends here
        request = Request(scope, receive)
        rule = self._rule(request)
        if rule is None:  # there is nothing: the application says 404 or 405
            await self._app(scope, receive, send)
            return
        person = await run_in_threadpool(self._identify, request)
        request.state.person = person
        refusal = self._refusal(rule, person, request)
        if refusal is None and _needs_csrf(request, person):
            refusal, receive = await _csrf(request, receive, person)
        if refusal is None:
            await self._keep_look(rule, person, request)
            await self._app(scope, receive, send)
            return
        answer = _answer(refusal, request)
        if self._note is not None and answer.status_code != 303:
            noted = (person, request, rule.path, refusal.status, refusal.reason)
            await run_in_threadpool(self._note, *noted)
        await answer(scope, receive, send)

    async def _keep_look(self, rule: Rule, person: Person | None, request: Request) -> None:
        if self._look is None or person is None or request.method != "GET":
            return
        look = Look.of(rule.path, rule.named(request.scope["path"]), request.url.query)
        if look is not None:
            await run_in_threadpool(self._look, person, request, look)

    def _rule(self, request: Request) -> Rule | None:
        if self._rules is None:
            self._rules = rules(self._application)
        path, method = request.scope["path"], request.method
        return next((rule for rule in self._rules if rule.covers(path, method)), None)

    def _refusal(self, rule: Rule, person: Person | None, request: Request) -> Refusal | None:
        if _foreign(request):
            return Refusal(403, "a page of another site may not ask this")
        if rule.need is None:
            return Refusal(403, f"{rule.path} declares no need: nobody may reach it")
        if not rule.files:
            wait = self._wait_s(person, request)
            if wait:
                retry = (("Retry-After", f"{wait:.0f}" if wait > 1 else "1"),)
                return Refusal(429, "too many requests; ask again later", retry)
        if rule.need.admits(person):
            return None
        if person is None:
            return Refusal(401, "log in, or send a token", (("WWW-Authenticate", "Bearer"),))
        return Refusal(403, f"{person.name} may not do this")

    def _wait_s(self, person: Person | None, request: Request) -> float:
        if person is None:
            return self._unknown.wait_s(request.client.host if request.client else "unknown")
        # Nobody is known apart where nobody logs in: there is nothing to share out.
        return 0.0 if person.via == "loopback" else self._known.wait_s(person.actor)


def _foreign(request: Request) -> bool:
    """Say whether a page of another site made the browser ask for a change.

    A browser says so itself (W3C Fetch Metadata), older ones by Origin. Programs say neither.
    """
    if request.method in _SAFE:
        return False
    site = request.headers.get("sec-fetch-site", "")
    if site:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("origin", "")
    return bool(origin) and origin.partition("://")[2] != request.headers.get("host", "")


def _needs_csrf(request: Request, person: Person | None) -> bool:
    return person is not None and bool(person.csrf) and request.method not in _SAFE


async def _csrf(
    request: Request, receive: Receive, person: Person | None
) -> tuple[Refusal | None, Receive]:
    """Compare the session's token with what the page sent, in a header or a field of its form."""
    given = request.headers.get(CSRF_HEADER, "")
    if not given and is_form(request):
        try:
            body = await body_of(request)
            given = fields(body).get(CSRF_FIELD, "")
        except InputError as error:
            return Refusal(400, str(error)), receive
        receive = replayed(body, receive)
    if person is not None and same(given, person.csrf):
        return None, receive
    return Refusal(403, "the page is out of date; load it again"), receive


def _answer(refusal: Refusal, request: Request) -> Response:
    if refusal.status == 401:
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if "hx-request" in request.headers:  # the page that asked goes to the login as a whole
            return Response(status_code=401, headers={"HX-Redirect": LOGIN})
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(f"{LOGIN}?{urlencode({'next': where})}", 303)
    # What was sent before the answer stays unread; a kept connection would take it for a request.
    headers = {"Connection": "close", **dict(refusal.headers)}
    return JSONResponse({"error": refusal.reason}, refusal.status, headers)
