"""Keyed pseudonyms: the same input gives the same output, and only under the same key."""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from node.errors import ConfigurationError

_KEY_BYTES: Final = 32
_MOST_DAYS: Final = 3650  # a date is moved back by 1 to so many days
_NAME_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """The mapping of one research project."""

    key: bytes

    def __post_init__(self) -> None:
        if len(self.key) < _KEY_BYTES:
            raise ConfigurationError(f"a key of pseudonyms has at least {_KEY_BYTES} bytes")

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read the key; the first export makes it, readable by its owner only.

        Raises:
            ConfigurationError: If the file cannot be read or made, or holds no key.
        """
        try:
            with suppress(FileExistsError):
                path.touch(0o600, exist_ok=False)
                path.write_text(secrets.token_hex(_KEY_BYTES) + "\n", encoding="ascii")
            return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the key {path} cannot be used: {error}") from error

    @property
    def fingerprint(self) -> str:
        """Names the key without telling it."""
        return sha256(b"fingerprint\0" + self.key).hexdigest()[:16]

    def uid(self, uid: str) -> str:
        """Return the UID that stands for another one (PS3.5 section B.2)."""
        digest = bytearray(self._mac("uid", uid)[:16])
        digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562: version 8, variant 10
        digest[8] = digest[8] & 0x3F | 0x80
        return f"2.25.{int.from_bytes(digest, 'big')}"

    def name(self, kind: str, identity: str) -> str:
        """Return a short name such as `P-3f0c...` for a patient, or `C-...` for a case."""
        return f"{kind[:1].upper()}-{self._mac(kind, identity).hex()[:_NAME_DIGITS]}"

    def days(self, patient: str) -> int:
        """Return by how many days a patient's dates are moved back: the same for all of them."""
        return 1 + int.from_bytes(self._mac("days", patient)[:8], "big") % _MOST_DAYS

    def moved(self, value: str, patient: str) -> str:
        """Move a DA or the date of a DT back; "" where it is no date (PS3.5 section 6.2)."""
        try:
            day = date(int(value[:4]), int(value[4:6]), int(value[6:8]))
            return f"{day - timedelta(days=self.days(patient)):%Y%m%d}{value[8:]}"
        except (ValueError, OverflowError):
            return ""

    def _mac(self, kind: str, value: str) -> bytes:
        return hmac.new(self.key, f"{kind}\0{value}".encode(), sha256).digest()
