"""API tokens: a program's credential, with scopes, an end, and the time of its last use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, Row, insert, select, update

from node.audit.tables import ApiToken
from node.audit.trail import Trail
from node.database import lock, read_only, utc_now
from node.errors import AccessError
from node.web.auth.credentials import kept, new_secret
from node.web.auth.identity import Person, Role, Scope

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MARK: Final = "crdl_"  # so that a scanner for leaked secrets can tell what it has found
_USED_EVERY: Final = timedelta(seconds=60)
_ROLE_OF: Final = {
    Scope.READ: Role.VIEWER,
    Scope.METRICS: Role.VIEWER,
    Scope.STOW: Role.OPERATOR,
    Scope.OUTCOMES: Role.OPERATOR,
    Scope.ADMIN: Role.ADMIN,
}


@dataclass(frozen=True, slots=True)
class Token:
    """A token as an admin sees it; `standing` is active, expired or revoked."""

    name: str
    scopes: tuple[Scope, ...]
    standing: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a node; `trail` says who makes and revokes them."""

    database: Engine
    trail: Trail

    def create(self, name: str, scopes: Sequence[Scope], expires_at: datetime | None) -> str:
        """Make a token; return its secret, which is shown this once.

        Raises:
            AccessError: The name is taken or unfit, no scope is given, or the end has passed.
        """
        if not _NAME.fullmatch(name):
            raise AccessError(f"{name!r} is no token name: letters, digits and . _ - (64 at most)")
        if not scopes:
            raise AccessError(f"name a scope: {', '.join(Scope)}")
        now = utc_now()
        if expires_at is not None and expires_at <= now:
            raise AccessError("the token would have expired before it is made")
        secret, words = _MARK + new_secret(), [one for one in Scope if one in set(scopes)]
        with self.database.begin() as connection:
            lock(connection, "tokens")
            if connection.scalar(select(ApiToken.id).where(ApiToken.name == name)) is not None:
                raise AccessError(f"there is, or was, a token {name!r}; names are used once")
            connection.execute(
                insert(ApiToken).values(
                    name=name,
                    secret_sha256=kept(secret),
                    scopes=" ".join(words),
                    created_by=self.trail.actor,
                    created_at=now,
                    expires_at=expires_at,
                )
            )
            until = expires_at.isoformat() if expires_at else ""
            detail = {"scopes": " ".join(words), "expires_at": until}
            self.trail.record(connection, "access", "token-created", name, detail)
        return secret

    def all(self) -> Sequence[Token]:
        """Return all tokens by name, also those that count no more."""
        now = utc_now()
        with read_only(self.database) as connection:
            rows = connection.execute(select(ApiToken).order_by(ApiToken.name)).all()
        return [
            Token(
                row.name,
                _scopes(row),
                "revoked" if row.revoked_at else "active" if _counts(row, now) else "expired",
                row.created_by,
                row.created_at,
                row.expires_at,
                row.used_at,
            )
            for row in rows
        ]

    def revoke(self, name: str) -> None:
        """Make a token worthless at once.

        Raises:
            AccessError: There is no such token, or it is revoked.
        """
        with self.database.begin() as connection:
            done = connection.execute(
                update(ApiToken)
                .where(ApiToken.name == name, ApiToken.revoked_at.is_(None))
                .values(revoked_at=utc_now())
            )
            if done.rowcount == 0:
                raise AccessError(f"there is no token {name!r} to revoke; see `crdl tokens list`")
            self.trail.record(connection, "access", "token-revoked", name, {})

    def person(self, secret: str) -> Person | None:
        """Return whose token this is; None if it is none, or does not count any more."""
        now = utc_now()
        with read_only(self.database) as connection:
            row = connection.execute(
                select(ApiToken).where(ApiToken.secret_sha256 == kept(secret))
            ).one_or_none()
        if row is None or not _counts(row, now):
            return None
        if row.used_at is None or now - row.used_at > _USED_EVERY:  # not a write a request
            with self.database.begin() as connection:
                mine = update(ApiToken).where(ApiToken.id == row.id)
                connection.execute(mine.values(used_at=now))
        scopes = _scopes(row)
        role = max((_ROLE_OF[one] for one in scopes), key=tuple(Role).index)
        return Person(row.name, role, "token", frozenset(scopes))


def _counts(row: Row[Any], now: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or now < row.expires_at)


def _scopes(row: Row[Any]) -> tuple[Scope, ...]:
    return tuple(Scope(word) for word in row.scopes.split())
