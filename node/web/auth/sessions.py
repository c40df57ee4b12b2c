"""Sessions: a login lives in the database, the browser only has its secret."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, delete, insert, or_, select, update

from node.audit.tables import UserAccount, WebSession
from node.audit.trail import Trail
from node.database import read_only, utc_now
from node.web.auth.credentials import csrf_of, kept, new_secret
from node.web.auth.identity import Person, Role, Via

_SEEN_EVERY: Final = timedelta(seconds=60)
_ADDRESS: Final = 64


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a session lives: without a request, and in all."""

    idle: timedelta
    absolute: timedelta

    def __post_init__(self) -> None:
        if not timedelta(0) < self.idle <= self.absolute:
            raise ValueError("a session may be idle for some time, and no longer than it lives")

    def alive(self, created_at: datetime, seen_at: datetime, now: datetime) -> bool:
        """Say whether a session still counts."""
        return now < created_at + self.absolute and now < seen_at + self.idle


@dataclass(frozen=True, slots=True)
class Sessions:
    """The logins of a node."""

    database: Engine
    trail: Trail
    terms: Terms

    def open(self, name: str, role: Role, address: str, user_id: int | None) -> str:
        """Begin a session; return its secret.

        Args:
            name: Of the person.
            role: What an OpenID provider's claims gave them; a local user's is asked anew each
                time.
            address: Where they log in from.
            user_id: The local user; None for a login at an OpenID provider.
        """
        secret, now = new_secret(), utc_now()
        with self.database.begin() as connection:
            self._sweep(connection, now)
            connection.execute(
                insert(WebSession).values(
                    id_sha256=kept(secret),
                    user_id=user_id,
                    name=name,
                    role=role.value,
                    address=address[:_ADDRESS],
                    created_at=now,
                    seen_at=now,
                )
            )
            detail = {"address": address, "by": "password" if user_id else "oidc"}
            self._of(name).record(connection, "access", "login", name, detail)
        return secret

    def person(self, secret: str) -> Person | None:
        """Return whose session this is; None if there is none, or not any more."""
        number, now = kept(secret), utc_now()
        with read_only(self.database) as connection:
            row = connection.execute(
                select(WebSession, UserAccount.role.label("now_role"), UserAccount.disabled)
                .outerjoin(UserAccount, UserAccount.id == WebSession.user_id)
                .where(WebSession.id_sha256 == number)
            ).one_or_none()
        if row is None or row.disabled or not self.terms.alive(row.created_at, row.seen_at, now):
            return None
        if now - row.seen_at > _SEEN_EVERY:  # not a write a request
            with self.database.begin() as connection:
                mine = WebSession.id_sha256 == number
                connection.execute(update(WebSession).where(mine).values(seen_at=now))
        via: Via = "oidc" if row.user_id is None else "session"
        return Person(row.name, Role(row.now_role or row.role), via, csrf=csrf_of(secret))

    def close(self, secret: str, address: str) -> None:
        """End a session."""
        with self.database.begin() as connection:
            mine = WebSession.id_sha256 == kept(secret)
            name = connection.scalar(select(WebSession.name).where(mine))
            if name is not None:
                connection.execute(delete(WebSession).where(mine))
                detail = {"address": address, "reason": "logged out"}
                self._of(name).record(connection, "access", "logout", name, detail)

    def _sweep(self, connection: Connection, now: datetime) -> None:
        """Forget what has ended by itself; each is a logout (PS3.15 section A.5.3.12)."""
        ended = or_(
            WebSession.seen_at <= now - self.terms.idle,
            WebSession.created_at <= now - self.terms.absolute,
        )
        found = select(WebSession.id_sha256, WebSession.name, WebSession.address).where(ended)
        for number, name, address in connection.execute(found).all():
            gone = connection.execute(delete(WebSession).where(WebSession.id_sha256 == number))
            if gone.rowcount:  # another process may sweep too
                detail = {"address": address, "reason": "expired"}
                self.trail.record(connection, "access", "logout", name, detail)

    def _of(self, name: str) -> Trail:
        return replace(self.trail, actor=f"person:{name}")
