"""The routes of a login at an OpenID provider: there and back again, in one browser."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Engine, Row, delete, insert, select

from node.audit.tables import OidcLogin, UserAccount
from node.audit.trail import Trail
from node.database import read_only, utc_now
from node.errors import AccessError
from node.web.auth.credentials import kept, new_secret, same
from node.web.auth.door import Door, address_of
from node.web.auth.login import entered, local_path, login_page
from node.web.auth.needs import PUBLIC
from node.web.auth.oidc import Provider

BACK: Final = "/login/oidc/back"
_PATIENCE: Final = timedelta(minutes=10)
_UNDER_WAY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Beginnings:
    """Logins that browsers have begun; each ends once, in the browser that began it."""

    database: Engine

    def begin(self, where: str) -> tuple[str, str, str, str]:
        """Note a login; return state, nonce, PKCE verifier and the browser's secret.

        Raises:
            AccessError: Too many are under way.
        """
        state, nonce, verifier, browser = (new_secret() for _ in range(4))
        now = utc_now()
        with self.database.begin() as connection:
            connection.execute(delete(OidcLogin).where(OidcLogin.begun_at < now - _PATIENCE))
            under_way = select(OidcLogin.state_sha256).offset(_UNDER_WAY).limit(1)
            if connection.scalar(under_way) is not None:
                raise AccessError("too many logins are under way; try again in ten minutes")
            connection.execute(
                insert(OidcLogin).values(
                    state_sha256=kept(state),
                    browser_sha256=kept(browser),
                    nonce=nonce,
                    verifier=verifier,
                    next_path=where,
                    begun_at=now,
                )
            )
        return state, nonce, verifier, browser

    def end(self, state: str, browser: str) -> Row[Any]:
        """Take a login that was begun; nobody takes it again.

        Raises:
            AccessError: There is none, it is too old, or another browser began it.
        """
        mine = OidcLogin.state_sha256 == kept(state)
        with self.database.begin() as connection:
            row = connection.execute(select(OidcLogin).where(mine)).one_or_none()
            if row is None or connection.execute(delete(OidcLogin).where(mine)).rowcount == 0:
                raise AccessError("this login was not begun here, or is over; log in again")
        if row.begun_at < utc_now() - _PATIENCE:
            raise AccessError("this login took too long; log in again")
        if not same(row.browser_sha256, kept(browser)):
            raise AccessError("this login was begun in another browser; log in again")
        return row


def oidc_router(door: Door, provider: Provider, trail: Trail, title: str) -> APIRouter:
    """Make the routes.

    Args:
        door: Opens sessions.
        provider: Where people log in.
        trail: Where failed logins are recorded.
        title: The node's AE title, for the login page that says what went wrong.
    """
    router, beginnings = APIRouter(dependencies=[Depends(PUBLIC)]), Beginnings(door.database)
    label = provider.settings.label

    def cookie(request: Request) -> str:
        return f"{door.cookie(request)}-login"

    def failed(request: Request, reason: str) -> Response:
        detail = {"address": address_of(request), "reason": reason, "by": "oidc"}
        with door.database.begin() as connection:
            trail.record(connection, "access", "login-failed", "unknown", detail)
        shown = f"The login did not work: {reason}."
        return login_page(request, title, "/", None, shown, label)

    @router.get("/login/oidc")
    def there(request: Request, next: str = "/") -> Response:  # noqa: A002 - the parameter's name
        try:
            state, nonce, verifier, browser = beginnings.begin(local_path(next))
            url = provider.authorization_url(state, nonce, verifier)
        except AccessError as error:
            return failed(request, str(error))
        answer = RedirectResponse(url, HTTPStatus.SEE_OTHER)
        # Lax: the browser comes back by a link of the provider's, and must bring this along.
        answer.set_cookie(
            cookie(request),
            browser,
            max_age=int(_PATIENCE.total_seconds()),
            secure=door.secure(request),
            httponly=True,
            samesite="lax",
        )
        return answer

    @router.get(BACK)
    def back(request: Request) -> Response:
        said = dict(request.query_params)
        try:
            browser = request.cookies.get(cookie(request), secrets.token_hex())
            begun = beginnings.end(said.get("state", ""), browser)
            claimed = provider.person(said, begun.nonce, begun.verifier)
            _require_free(door.database, claimed.name)
        except AccessError as error:
            return failed(request, str(error))
        answer = entered(door, request, begun.next_path, claimed.name, claimed.role, None)
        answer.delete_cookie(cookie(request), secure=door.secure(request), httponly=True)
        return answer

    return router


def _require_free(database: Engine, name: str) -> None:
    """Let pass a name that is no local user's: in the record a name is one person."""
    with read_only(database) as connection:
        if connection.scalar(select(UserAccount.id).where(UserAccount.name == name)) is not None:
            raise AccessError(f"{name} is a local user: log in with the password")
