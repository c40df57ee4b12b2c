"""Secrets that we give out and keep only as hashes: of sessions, tokens and logins under way.

They are 256 random bits, so that one round of SHA-256 keeps them; passwords are another matter.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """Return 256 random bits in 43 characters that a URL, a cookie and a header take."""
    return secrets.token_urlsafe(32)


def kept(secret: str) -> str:
    """Return what is kept of a secret: its SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_of(session: str) -> str:
    """Return what the pages of a session send back with every change.

    Whoever reads it learns nothing of the session, and nobody can make it without the session.
    """
    return hashlib.sha256(f"csrf:{session}".encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare without telling by the time it takes where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
