"""UIDs that are derived, so that the same object has the same UID each time it is made."""

from __future__ import annotations

import hashlib


def derived_uid(*parts: str) -> str:
    """Derive a UID from what it names, the same for the same parts (PS3.5 section B.2)."""
    digest = bytearray(hashlib.sha256("\0".join(parts).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562: version 8, variant 10
    digest[8] = digest[8] & 0x3F | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"
