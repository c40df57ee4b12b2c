"""Who sent a request: by token, by session, or everybody where the node has no users."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from fastapi import Request
from sqlalchemy import Engine, select

from node.audit.tables import UserAccount
from node.audit.trail import Trail
from node.config import Settings
from node.database import read_only
from node.web.auth.accounts import Accounts
from node.web.auth.identity import LOCAL, Person
from node.web.auth.sessions import Sessions, Terms
from node.web.auth.tokens import Tokens

_BEARER: Final = "bearer "


def has_users(database: Engine) -> bool:
    """Say whether a local user was ever added: since then everybody logs in."""
    with read_only(database) as connection:
        return connection.scalar(select(UserAccount.id).limit(1)) is not None


@dataclass
class Door:
    """The ways in. One for a web process."""

    database: Engine
    accounts: Accounts
    sessions: Sessions
    tokens: Tokens
    secure_always: bool
    _closed: bool = field(default=False)

    @classmethod
    def of(cls, settings: Settings, database: Engine, trail: Trail) -> Door:
        """Make the door that `[web]` and `[oidc]` ask for."""
        web = settings.web
        terms = Terms(timedelta(minutes=web.idle_minutes), timedelta(hours=web.session_hours))
        return cls(
            database,
            Accounts(database, trail),
            Sessions(database, trail, terms),
            Tokens(database, trail),
            secure_always=web.public_url.startswith("https://"),
            _closed=bool(settings.oidc.issuer),
        )

    def stands_open(self) -> bool:
        """Say whether nobody needs to log in; once false it stays so, as users are only disabled.

        A user who is added while the node runs closes it with the next request.
        """
        if not self._closed:
            self._closed = has_users(self.database)
        return not self._closed

    def identify(self, request: Request) -> Person | None:
        """Return who sent a request, None for an unknown person.

        A credential that is no good is refused, also where none is needed.
        """
        header = request.headers.get("authorization", "")
        if header:
            if not header.lower().startswith(_BEARER):
                return None
            return self.tokens.person(header[len(_BEARER) :].strip())
        secret = request.cookies.get(self.cookie(request), "")
        person = self.sessions.person(secret) if secret else None
        if person is None and self.stands_open():
            return LOCAL
        return person

    def secure(self, request: Request) -> bool:
        """Say whether the browser is asked over HTTPS, by us or by a proxy before us."""
        return self.secure_always or request.url.scheme == "https"

    def cookie(self, request: Request) -> str:
        """Return the name of the session's cookie (RFC 6265bis section 4.1.3 on `__Host-`)."""
        return "__Host-crdl" if self.secure(request) else "crdl"


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else "unknown"
