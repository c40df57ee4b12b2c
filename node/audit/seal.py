"""The seal of a ledger row: who has the key wrote it.

Triggers keep honest programs from changing a ledger; a person with the database's password can
drop them. A row that such a person adds has no valid seal, because the key is a file beside the
node and not in the database.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from node.errors import ConfigurationError

KEY_BYTES = 32
NONCE_DIGITS = 16

Facts = tuple[int, str, str, str, str, str, str, str, str]
"""What a seal covers: schema version, ledger, time, actor, event, subject, study, patient and
the detail as it is stored."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """Makes and checks seals with one key."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ConfigurationError(f"an audit key has {KEY_BYTES} bytes, not {len(self.key)}")

    @classmethod
    def from_file(cls, path: Path) -> Sealer:
        """Read the key; the first process makes it, readable by its owner only.

        Raises:
            ConfigurationError: The file cannot be read or made, or holds no key.
        """
        try:
            with suppress(FileExistsError):  # another start, or another process, has made it
                _make_key(path)
            text = path.read_text(encoding="ascii")
            return cls(bytes.fromhex(text.strip()))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the audit key {path} cannot be used: {error}") from error

    def seal(self, facts: Facts) -> str:
        """Return a fresh seal: no two rows have the same one, even with the same facts."""
        nonce = secrets.token_hex(NONCE_DIGITS // 2)
        return nonce + self._mac(nonce, facts)

    def fits(self, seal: str, facts: Facts) -> bool:
        """Say whether a seal was made with this key for these facts."""
        nonce = seal[:NONCE_DIGITS]
        return hmac.compare_digest(seal[NONCE_DIGITS:], self._mac(nonce, facts))

    def sign(self, text: str) -> str:
        """Return the HMAC-SHA-256 of a text, hexadecimal: a link's hash, a chain's head."""
        return hmac.digest(self.key, text.encode(), "sha256").hex()

    def signed(self, text: str, signature: str) -> bool:
        """Say whether `sign` made this signature for this text."""
        return hmac.compare_digest(self.sign(text), signature)

    def _mac(self, nonce: str, facts: Facts) -> str:
        return hmac.digest(self.key, nonce.encode() + canonical(facts), "sha256").hex()


def canonical(facts: Facts | tuple[int | str, ...]) -> bytes:
    """Return the bytes that are hashed: a JSON array without spaces, in UTF-8."""
    return orjson.dumps(facts)


def row_hash(row_id: int, seal: str, facts: Facts) -> bytes:
    """Return the SHA-256 of a whole row, (32,) bytes: its seal and number too."""
    return hashlib.sha256(canonical((row_id, seal, *facts))).digest()


def _make_key(path: Path) -> None:
    """Write a new key under its final name at once, so that no process reads half of it."""
    if path.exists():
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)  # fails if another process was first
    finally:
        fresh.unlink()
