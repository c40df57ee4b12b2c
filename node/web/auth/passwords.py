"""Passwords: which are good enough, and how they are kept (argon2id, RFC 9106)."""

from __future__ import annotations

import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from node.errors import AccessError

MINIMUM_LENGTH: Final = 12
MAXIMUM_LENGTH: Final = 256  # a hash of any length costs time, and nobody types more
_MINIMUM_KINDS: Final = 5
# RFC 9106 section 4, second recommended option: 64 MiB, 3 passes, 4 lanes. Two at once: a flood
# of logins waits here instead of taking all memory.
_HASHER: Final = PasswordHasher()
_AT_ONCE: Final = threading.BoundedSemaphore(2)


def require_good(name: str, password: str) -> None:
    """Let pass a password that is fit for a user (NIST SP 800-63B section 3.1.1: length counts).

    Raises:
        AccessError: If it is not; the message says why and never shows it.
    """
    if len(password) < MINIMUM_LENGTH:
        raise AccessError(f"a password has at least {MINIMUM_LENGTH} characters: take a sentence")
    if len(password) > MAXIMUM_LENGTH:
        raise AccessError(f"a password has at most {MAXIMUM_LENGTH} characters")
    if len(set(password)) < _MINIMUM_KINDS:
        raise AccessError(f"a password has at least {_MINIMUM_KINDS} different characters")
    if name.casefold() in password.casefold():
        raise AccessError("a password does not contain the user's name")


def hashed(password: str) -> str:
    """Return what is kept of a password: argon2id with its parameters and salt."""
    with _AT_ONCE:
        return _HASHER.hash(password)


def fits(kept: str, password: str) -> bool:
    """Say whether a password is the one that was kept; takes as long for a wrong one."""
    if len(password) > MAXIMUM_LENGTH:
        return False
    try:
        with _AT_ONCE:
            return _HASHER.verify(kept, password)
    except (Argon2Error, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Say whether it was kept with other parameters than those of today."""
    return _HASHER.check_needs_rehash(kept)
