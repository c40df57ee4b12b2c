"""What a client accepts (PS3.18 section 8.7): media types and transfer syntaxes. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

# PS3.18 table 8.7.3-2 and 8.7.3-5: how compressed frames are called on the web.
_FRAME_TYPES = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
_RAW = "application/octet-stream"


def frame_media_type(transfer_syntax_uid: str) -> str:
    """Return how frames of a transfer syntax are called, with the syntax as parameter."""
    media = _FRAME_TYPES.get(transfer_syntax_uid, _RAW)
    return f"{media}; transfer-syntax={transfer_syntax_uid}"


@dataclass(frozen=True, slots=True)
class Accept:
    """The types of an Accept header; empty accepts everything.

    Attributes:
        types: Media types, those inside `multipart/related; type="..."` too.
        syntaxes: Transfer syntaxes that are named; `*` for any.
    """

    types: frozenset[str] = frozenset()
    syntaxes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, header: str) -> Accept:
        """Read a header."""
        types, syntaxes = set(), set()
        for item in filter(None, re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", header)):
            name, *parameters = (part.strip() for part in item.split(";"))
            given = dict(part.split("=", 1) for part in parameters if "=" in part)
            types.add(given.get("type", name).strip('"').lower())
            if "transfer-syntax" in given:
                syntaxes.add(given["transfer-syntax"].strip('"'))
        return cls(frozenset(types), frozenset(syntaxes))

    def refuses_instances(self, stored: Collection[str]) -> str:
        """Say why instances in these transfer syntaxes cannot be sent; "" if they can."""
        if not self._takes("application/dicom"):
            return "instances are sent as multipart/related; type=application/dicom"
        return self._refuses(stored)

    def refuses_frames(self, media: str) -> str:
        """Say why frames of this media type cannot be sent; "" if they can."""
        name, syntax = media.split("; transfer-syntax=")
        if not self._takes(name) and not self._takes(_RAW):
            return f"the frames are stored as {name}"
        return self._refuses({syntax})

    def _takes(self, media: str) -> bool:
        family = media.split("/", maxsplit=1)[0] + "/*"
        return not self.types or bool(self.types & {media, family, "*/*", "multipart/related"})

    def _refuses(self, stored: Collection[str]) -> str:
        named = self.syntaxes - {"*"}
        if self.syntaxes and "*" not in self.syntaxes and not set(stored) <= named:
            return f"stored as {', '.join(sorted(stored))}: accept transfer-syntax=*"
        return ""
