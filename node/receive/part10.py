"""The beginning of a Part 10 file: preamble and File Meta Information (PS3.10 section 7.1)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

_PREAMBLE: Final = bytes(128) + b"DICM"


def beginning(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return what comes before the data set."""
    before, after = _around(sop_class_uid, transfer_syntax_uid)
    body = before + _uid(0x0003, sop_instance_uid) + after
    length = struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(body))
    return _PREAMBLE + length + body


@lru_cache(maxsize=256)
def _around(sop_class_uid: str, transfer_syntax_uid: str) -> tuple[bytes, bytes]:
    """Return what is the same for all instances of a kind: before and after the instance's UID."""
    version = struct.pack("<HH2sxxL", 0x0002, 0x0001, b"OB", 2) + b"\x00\x01"
    return (
        version + _uid(0x0002, sop_class_uid),
        _uid(0x0010, transfer_syntax_uid)
        + _uid(0x0012, PYNETDICOM_IMPLEMENTATION_UID)
        + _short(0x0013, b"SH", PYNETDICOM_IMPLEMENTATION_VERSION.encode(), b" "),
    )


def _uid(element: int, value: str) -> bytes:
    return _short(element, b"UI", value.encode(), b"\0")


def _short(element: int, vr: bytes, value: bytes, padding: bytes) -> bytes:
    padded = value + padding if len(value) % 2 else value
    return struct.pack("<HH2sH", 0x0002, element, vr, len(padded)) + padded
