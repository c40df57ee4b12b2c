"""Pseudonyms of studies, for logs and traces.

They are the same everywhere in a node; without the audit key nobody can tell which study one is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from node.audit.seal import Sealer

_DIGITS: Final = 12
PSEUDONYM: Final = re.compile(rf"s-[0-9a-f]{{{_DIGITS}}}")
# PS3.5 section 9.1. Five components or 2.25: a version or an IPv4 address has fewer.
_UID: Final = re.compile(r"(?<![\w.])(?:2\.25\.\d{5,}|[0-2](?:\.(?:0|[1-9]\d*)){4,})(?![\w.]*\w)")


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Made with a keyed hash (HMAC-SHA-256), 48 bits of it."""

    sealer: Sealer

    def of(self, uid: str) -> str:
        """Return the pseudonym of a study, series or instance."""
        return f"s-{self.sealer.sign(f'pseudonym {uid}')[:_DIGITS]}"

    def hide(self, text: str) -> str:
        """Return a text with every UID replaced by its pseudonym."""
        return _UID.sub(lambda found: self.of(found[0]), text)
