"""The gate before every route: it recognises who asks, and lets in as the route declares.

A route that declares no need is refused to everybody. The gate stands before the body is read, so
that nobody unknown makes the node work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Receive, Scope, Send

from node.web.auth.identity import Person
from node.web.auth.needs import Need

Identify = Callable[[Request], Person | None]
"""Says who sent a request; may ask the database."""
LOGIN: Final = "/login"
_SAFE: Final = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A route as the gate sees it; `need` is None where it declares none.

    `methods` is empty for a mounted application, which takes any.
    """

    path: str
    methods: frozenset[str]
    need: Need | None
    pattern: Any

    def covers(self, path: str, method: str) -> bool:
        """Say whether a request is for this route."""
        return (not self.methods or method in self.methods) and bool(self.pattern.match(path))


def rules(app: FastAPI) -> tuple[Rule, ...]:
    """Return the rules of every route of an application, in the order in which it matches."""
    return tuple(
        Rule(
            str(context.path),
            frozenset(context.methods or ()),
            _need(context),
            context.path_regex,
        )
        for context in iter_route_contexts(app.router.routes)
    )


def _need(context: Any) -> Need | None:  # noqa: ANN401 - a route of any kind
    declared = getattr(getattr(context, "app", None), "need", None)  # a mounted application's
    dependant = getattr(context, "dependant", None)
    found = {declared} if isinstance(declared, Need) else set()
    if dependant is not None:
        found.update(_needs_below(dependant))
    # Two different needs contradict each other: that is as good as none.
    return found.pop() if len(found) == 1 else None


def _needs_below(dependant: Dependant) -> Iterator[Need]:
    for one in dependant.dependencies:
        if isinstance(one.call, Need):
            yield one.call
        yield from _needs_below(one)


class Gate:
    """ASGI middleware: recognises, then lets in or refuses."""

    def __init__(self, app: ASGIApp, application: FastAPI, identify: Identify) -> None:
        self._app = app
        self._application = application
        self._identify = identify
        self._rules: tuple[Rule, ...] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # the node has no websockets: a handshake ends here
        request = Request(scope, receive)
        refusal = await self._refusal(request)
        await (refusal or self._app)(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        if self._rules is None:
            self._rules = rules(self._application)
        path, method = request.scope["path"], request.method
        rule = next((rule for rule in self._rules if rule.covers(path, method)), None)
        if rule is None:
            return None  # there is nothing: the application says 404 or 405
        if _foreign(request):
            return _refused(403, "a page of another site may not ask this")
        person = await run_in_threadpool(self._identify, request)
        request.state.person = person
        if rule.need is None:
            return _refused(403, f"{rule.path} declares no need: nobody may reach it")
        if rule.need.admits(person):
            return None
        if person is None:
            return _unknown(request)
        return _refused(403, f"{person.name} may not do this")


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


def _unknown(request: Request) -> Response:
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = f"{LOGIN}?{urlencode({'next': where})}"
    if "hx-request" in request.headers:  # the page that asked goes to the login as a whole
        return Response(status_code=401, headers={"HX-Redirect": LOGIN})
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(login, 303)
    return _refused(401, "log in, or send a token", {"WWW-Authenticate": "Bearer"})


def _refused(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    # What was sent before the answer stays unread; a kept connection would take it for a request.
    return JSONResponse({"error": reason}, status, {"Connection": "close", **(headers or {})})
