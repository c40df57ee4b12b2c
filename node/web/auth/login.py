"""Login and logout pages."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates

from node.errors import InputError
from node.web.auth.door import Door, address_of
from node.web.auth.forms import form_of
from node.web.auth.gate import LOGIN
from node.web.auth.identity import Person, Role
from node.web.auth.limits import Limiter
from node.web.auth.needs import PUBLIC, needs

_TEMPLATES: Final = Jinja2Templates(Path(__file__).parents[1] / "templates")
_TRIES_PER_MINUTE: Final = 10.0
_WRONG: Final = "Name or password is wrong, or the account is locked for a while."
_LONGEST: Final = 1024
Known = Annotated[Person | None, Depends(PUBLIC)]


def login_router(door: Door, title: str, provider: str = "") -> APIRouter:
    """Make the routes.

    Args:
        door: Tries passwords, opens and closes sessions.
        title: The node's AE title.
        provider: What the button for the OpenID provider says; "" without one.
    """
    router = APIRouter()
    tries = Limiter(_TRIES_PER_MINUTE, _TRIES_PER_MINUTE)

    @router.get(LOGIN)
    def ask(request: Request, person: Known, next: str = "/") -> Response:  # noqa: A002 - the parameter's name
        where = local_path(next)
        return (
            login_page(request, title, where, None, "", provider)
            if person is None
            else RedirectResponse(where, 303)
        )

    @router.post(LOGIN)
    async def try_(request: Request, person: Known) -> Response:
        address = address_of(request)
        try:
            form = await form_of(request)
        except InputError as error:
            return Response(str(error), HTTPStatus.BAD_REQUEST, media_type="text/plain")
        where = local_path(form.get("next", "/"))
        if wait := tries.wait_s(address):
            late = "Too many tries; wait a minute."
            answer = login_page(request, title, where, person, late, provider)
            answer.status_code = HTTPStatus.TOO_MANY_REQUESTS
            answer.headers["Retry-After"] = f"{max(wait, 1):.0f}"
            return answer
        name, password = form.get("name", "").strip(), form.get("password", "")
        account = await run_in_threadpool(door.accounts.tried, name, password, address)
        if account is None:
            return login_page(request, title, where, person, _WRONG, provider)
        return await run_in_threadpool(
            entered, door, request, where, account.name, account.role, account.id
        )

    @router.post("/logout", dependencies=[Depends(needs(Role.VIEWER))])
    def leave(request: Request) -> Response:
        cookie = door.cookie(request)
        if secret := request.cookies.get(cookie, ""):
            door.sessions.close(secret, address_of(request))
        answer = RedirectResponse(LOGIN, 303)
        secure = door.secure(request)
        answer.delete_cookie(cookie, secure=secure, httponly=True, samesite="lax")
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    return router


def login_page(
    request: Request, title: str, where: str, person: Person | None, wrong: str, provider: str
) -> Response:
    """Show the form.

    Args:
        request: Which is answered.
        title: The node's AE title.
        where: Where the person wanted to go.
        person: Who is logged in already.
        wrong: What went wrong; "" for nothing.
        provider: What the button for the OpenID provider says; "" without one.
    """
    shown = {
        "title": title,
        "next": where,
        "wrong": wrong,
        "provider": provider,
        "csrf": person.csrf if person else "",
    }
    status = HTTPStatus.UNAUTHORIZED if wrong else HTTPStatus.OK
    return _TEMPLATES.TemplateResponse(request, "login.html", shown, status)


def entered(
    door: Door, request: Request, where: str, name: str, role: Role, user_id: int | None
) -> Response:
    """Open a session for somebody who was recognised; send them where they wanted to go.

    The secret is new with each login, and the session before it ends.
    """
    cookie, address = door.cookie(request), address_of(request)
    if before := request.cookies.get(cookie, ""):
        door.sessions.close(before, address)
    secret = door.sessions.open(name, role, address, user_id)
    answer = RedirectResponse(where, 303)
    # Lax: a link from elsewhere finds the person logged in; no other site's form does.
    answer.set_cookie(
        cookie, secret, secure=door.secure(request), httponly=True, samesite="lax", path="/"
    )
    return answer


def local_path(where: str) -> str:
    """Return a path of this node: "/" for whatever would lead a person elsewhere."""
    inside = where.startswith("/") and where[1:2] not in {"/", "\\"} and where.isprintable()
    return where if inside and len(where) <= _LONGEST else "/"
