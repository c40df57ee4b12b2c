"""Seeded mutations of bytes: what cables, disks and people do to them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Final

_INTERESTING: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF)
_TAGS: Final = (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x00080005, 0x7FE00010, 0x00280010, 0x0040A730)
_VRS: Final = (b"SQ", b"UN", b"OB", b"OW", b"US", b"FD", b"DS", b"IS", b"PN", b"UI", b"AT", b"\0\0")


def _flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.randrange(256)


def _number(data: bytearray, chance: random.Random) -> None:
    form = chance.choice(("<H", ">H", "<L", ">L"))
    width = struct.calcsize(form)
    if len(data) > width:
        value = chance.choice(_INTERESTING) & ((1 << 8 * width) - 1)
        struct.pack_into(form, data, chance.randrange(len(data) - width), value)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _delete(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.randrange(1, 64)]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    piece = bytes(data[start : start + chance.randrange(1, 128)])
    data[start:start] = piece * chance.randrange(1, 8)


def _insert(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = chance.randbytes(chance.randrange(1, 32))


def _tag(data: bytearray, chance: random.Random) -> None:
    tag = chance.choice(_TAGS)
    start = chance.randrange(len(data))
    data[start : start + 4] = struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def _representation(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start : start + 2] = chance.choice(_VRS)


_MUTATIONS: Final[tuple[Callable[[bytearray, random.Random], None], ...]] = (
    *(_flip, _set, _number, _cut, _delete, _repeat, _insert, _tag, _representation),
)


def mutated(data: bytes, chance: random.Random, most: int = 3) -> bytes:
    """Return a copy with one to `most` mutations; the same chance gives the same bytes."""
    copy = bytearray(data)
    for _ in range(chance.randrange(1, most + 1)):
        if not copy:
            break
        chance.choice(_MUTATIONS)(copy, chance)
    return bytes(copy)
