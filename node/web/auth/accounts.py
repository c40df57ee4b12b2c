"""Local users: adding and changing them, and trying a password."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from node.audit.tables import UserAccount, WebSession
from node.audit.trail import Trail
from node.database import lock, read_only, utc_now
from node.errors import AccessError
from node.web.auth import passwords
from node.web.auth.identity import Role

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
FREE_FAILURES: Final = 4
_FIRST_LOCK_S: Final = 30.0
_LONGEST_LOCK_S: Final = 900.0
_SUBJECT: Final = 80  # characters of a ledger's subject


@dataclass(frozen=True, slots=True)
class Account:
    """A local user as an admin sees them."""

    id: int
    name: str
    role: Role
    disabled: bool
    failures: int
    locked_until: datetime | None
    created_at: datetime
    password_at: datetime


def lock_s(failures: int) -> float:
    """Return for how many seconds an account is locked after so many wrong passwords in a row."""
    beyond = failures - FREE_FAILURES
    return min(_FIRST_LOCK_S * 2.0 ** (beyond - 1), _LONGEST_LOCK_S) if beyond > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Accounts:
    """The local users of a node; `trail` says who changes them."""

    database: Engine
    trail: Trail

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user.

        Raises:
            AccessError: The name is taken or unfit, or the password too weak.
        """
        if not _NAME.fullmatch(name):
            raise AccessError(f"{name!r} is no user name: letters, digits and . _ @ - (64 at most)")
        passwords.require_good(name, password)
        kept, now = passwords.hashed(password), utc_now()
        with self.database.begin() as connection:
            lock(connection, "users")
            if self._row(connection, name) is not None:
                raise AccessError(f"there is a user {name!r} already")
            connection.execute(
                insert(UserAccount).values(
                    name=name,
                    role=role.value,
                    password_hash=kept,
                    disabled=False,
                    failures=0,
                    created_at=now,
                    password_at=now,
                )
            )
            self.trail.record(connection, "access", "user-added", name, {"role": role.value})

    def everyone(self) -> Sequence[Account]:
        """Return all users by name."""
        with read_only(self.database) as connection:
            rows = connection.execute(select(UserAccount).order_by(UserAccount.name)).all()
        return [_account(row) for row in rows]

    def set_password(self, name: str, password: str) -> None:
        """Give a user a new password: their sessions end, and a lock is gone.

        Raises:
            AccessError: There is no such user, or the password is too weak.
        """
        passwords.require_good(name, password)
        values = {
            "password_hash": passwords.hashed(password),
            "password_at": utc_now(),
            "failures": 0,
            "locked_until": None,
        }
        self._change(name, "password-changed", values)

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role; it holds from their next request on.

        Raises:
            AccessError: There is no such user.
        """
        self._change(name, "role-changed", {"role": role.value}, {"role": role.value})

    def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Close an account and end its sessions, or open it again.

        Raises:
            AccessError: There is no such user.
        """
        event = "user-disabled" if disabled else "user-enabled"
        self._change(name, event, {"disabled": disabled, "failures": 0, "locked_until": None})

    def tried(self, name: str, password: str, address: str) -> Account | None:
        """Try a password; None where it does not open the account.

        An attempt counts before it is tried, so that many at once are no way around the lock. An
        unknown, a closed and a locked account take as long as a wrong password.
        """
        row, reason = self._begin(name)
        right = passwords.fits(row.password_hash if row is not None else _nobody(), password)
        if row is not None and not reason and right:
            with self.database.begin() as connection:
                values: dict[str, Any] = {"failures": 0, "locked_until": None}
                if passwords.outdated(row.password_hash):
                    values["password_hash"] = passwords.hashed(password)
                changed = update(UserAccount).where(UserAccount.id == row.id)
                connection.execute(changed.values(**values))
            return _account(row)
        detail = {"address": address, "reason": reason or "wrong password"}
        failures = 0 if row is None or reason else row.failures + 1
        if locked := lock_s(failures):
            detail["locked_s"] = f"{locked:.0f}"
        with self.database.begin() as connection:
            self.trail.record(connection, "access", "login-failed", name[:_SUBJECT], detail)
        return None

    def _begin(self, name: str) -> tuple[Row[Any] | None, str]:
        """Count an attempt; return the account, and why no password opens it."""
        with self.database.begin() as connection:
            lock(connection, f"login {name}")
            row, now = self._row(connection, name), utc_now()
            if row is None:
                return None, "no such user"
            if row.disabled:
                return row, "disabled"
            if row.locked_until is not None and row.locked_until > now:
                return row, "locked"
            failures = row.failures + 1
            until = now + timedelta(seconds=lock_s(failures)) if lock_s(failures) else None
            connection.execute(
                update(UserAccount)
                .where(UserAccount.id == row.id)
                .values(failures=failures, locked_until=until)
            )
            return row, ""

    def _change(
        self,
        name: str,
        event: str,
        values: Mapping[str, Any],
        detail: Mapping[str, str] | None = None,
    ) -> None:
        with self.database.begin() as connection:
            lock(connection, f"login {name}")
            row = self._row(connection, name)
            if row is None:
                raise AccessError(f"there is no user {name!r}; see `crdl users list`")
            connection.execute(update(UserAccount).where(UserAccount.id == row.id).values(**values))
            if "role" not in values:  # a role is asked anew with each request
                connection.execute(delete(WebSession).where(WebSession.user_id == row.id))
            self.trail.record(connection, "access", event, name, detail)

    @staticmethod
    def _row(connection: Connection, name: str) -> Row[Any] | None:
        return connection.execute(select(UserAccount).where(UserAccount.name == name)).one_or_none()


def _account(row: Row[Any]) -> Account:
    return Account(
        row.id,
        row.name,
        Role(row.role),
        row.disabled,
        row.failures,
        row.locked_until,
        row.created_at,
        row.password_at,
    )


@cache
def _nobody() -> str:
    """A hash that no password fits, to try for a name that nobody has."""
    return passwords.hashed("nobody has this")
