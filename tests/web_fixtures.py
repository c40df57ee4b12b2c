"""The web application without a socket, with users, tokens and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import Engine, text

from node.audit.schema import upgrade
from node.audit.seal import Sealer
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.config import Settings, load_settings
from node.database import open_engine, utc_now
from node.web.app import create_app
from node.web.auth import passwords
from node.web.auth.door import Door
from node.web.auth.identity import Role, Scope

PASSWORD = "a sentence that nobody guesses"  # noqa: S105 - of the tests users


@dataclass
class Answered:
    """What the injected store says: nothing was malformed, nothing was stored."""

    status: int = 400
    response: None = None
    reason: str = "no body"


async def no_store(*_: Any) -> Answered:
    return Answered()


@dataclass
class Web:
    """An application and a way to ask it; `address` is where requests come from."""

    app: FastAPI
    database: Engine
    door: Door
    runner: asyncio.Runner
    base: str = "http://node.example"
    address: str = "192.0.2.5"
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Ask as a browser that keeps the cookies it is given, or forgets those taken back."""

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(self.address, 50000))
            sent = {"cookie": "; ".join(f"{key}={value}" for key, value in self.cookies.items())}
            async with httpx.AsyncClient(transport=transport, base_url=self.base) as client:
                return await client.request(
                    method, path, headers={**sent, **(headers or {})}, data=form, content=content
                )

        answer = self.runner.run(asked())
        for header in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        return answer

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET with headers."""
        return self.ask("GET", path, headers=headers)

    def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Send the login form."""
        return self.ask("POST", "/login", form={"name": name, "password": password, "next": "/"})

    def csrf(self) -> str:
        """What the present session's pages send back."""
        (secret,) = self.cookies.values()
        person = self.door.sessions.person(secret)
        assert person is not None
        return person.csrf

    def session(self, name: str, role: Role, user_id: int | None = None) -> str:
        """Open a session without a form; return its secret."""
        return self.door.sessions.open(name, role, self.address, user_id)

    def token(self, name: str, *scopes: Scope, days: float = 1) -> str:
        """Make a token; return its secret."""
        return self.door.tokens.create(name, scopes, utc_now() + timedelta(days=days))

    def ledger(self, columns: str = "actor, event, subject") -> list[tuple[Any, ...]]:
        """The ledger of access, oldest first."""
        with self.database.connect() as connection:
            rows = connection.execute(text(f"SELECT {columns} FROM ledger_access ORDER BY id"))
            return [tuple(row) for row in rows]

    def change(self, statement: str) -> None:
        """Change the database as time or an admin would."""
        with self.database.begin() as connection:
            connection.execute(text(statement))


@contextmanager
def a_web_in(folder: Path, **sections: Any) -> Iterator[Web]:
    """The application on SQLite in a folder; `sections` are settings."""
    node = {"data_dir": folder, "minimum_free_mib": 0}
    settings: Settings = load_settings(node=node, **sections)
    database = open_engine(settings.database_url)
    upgrade(database)
    trail = Trail("web", Sealer.from_file(settings.audit_key))
    app = create_app(settings, no_store, database, {}, BlobStore(folder / "blobs"), trail)
    base = settings.web.public_url.rstrip("/") or "http://localhost"
    # The same argon2id with little memory, so that the logins of a test run take little time.
    quick = mock.patch.object(passwords, "_HASHER", PasswordHasher(1, 8, 1))
    with quick, asyncio.Runner() as runner:
        yield Web(app, database, Door.of(settings, database, trail), runner, base)
    database.dispose()
