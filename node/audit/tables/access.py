"""Who may use the web: users, their sessions, API tokens, logins that are under way."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import SHA256, Base, Id


class UserAccount(Base):
    """A local user; never deleted, so that the name in the ledger stays one person's.

    `failures`: wrong passwords since the last right one; until `locked_until` none is tried.
    """

    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(256))
    disabled: Mapped[bool] = mapped_column(default=False)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    password_at: Mapped[datetime]


class WebSession(Base):
    """A login; the browser has the secret of which only the hash is here.

    `user_id` is NULL for a login at an OpenID provider, whose `name` and `role` stand here.
    """

    __tablename__ = "web_session"
    id_sha256: Mapped[str] = mapped_column(SHA256, primary_key=True)
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)


class ApiToken(Base):
    """A program's credential; its holder has the secret of which only the hash is here.

    `scopes`: words with a space between.
    """

    __tablename__ = "api_token"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    secret_sha256: Mapped[str] = mapped_column(SHA256, unique=True)
    scopes: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class OidcLogin(Base):
    """A login that a browser has begun at the OpenID provider; the browser has the secret."""

    __tablename__ = "oidc_login"
    state_sha256: Mapped[str] = mapped_column(SHA256, primary_key=True)
    browser_sha256: Mapped[str] = mapped_column(SHA256)
    nonce: Mapped[str] = mapped_column(String(64))
    verifier: Mapped[str] = mapped_column(String(128))
    next_path: Mapped[str] = mapped_column(String(1024))
    begun_at: Mapped[datetime] = mapped_column(index=True)
