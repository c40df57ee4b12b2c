"""The bytes of an instance: where its data set starts, where its pixels lie, and their hash.

To hash an image's pixels beside its file would cost as much again as the file; so they are hashed
where something depends on it, and else only counted.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from node.errors import IntakeError

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_CHUNK = 1 << 20
_TRANSFER_SYNTAX = 0x00020010
_UID_BYTES = 64
_INFLATED_BYTES = 256 << 20
_ITEM = 0xFFFEE000
_SEQUENCE_DELIMITER = 0xFFFEE0DD
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a data set is encoded (PS3.5 section 10)."""

    transfer_syntax_uid: str

    @property
    def implicit(self) -> bool:
        """Whether the VRs are left out."""
        return self.transfer_syntax_uid == ImplicitVRLittleEndian

    @property
    def little(self) -> bool:
        """Whether numbers are little endian."""
        return self.transfer_syntax_uid != ExplicitVRBigEndian

    @property
    def deflated(self) -> bool:
        """Whether the data set is deflated (PS3.5 section A.5)."""
        return self.transfer_syntax_uid == DeflatedExplicitVRLittleEndian


def open_data_set(path: Path) -> tuple[BinaryIO, Encoding]:
    """Open a Part 10 file (PS3.10 section 7.1) at its data set; the caller closes it.

    Raises:
        IntakeError: If it is no Part 10 file, or its File Meta Information cannot be read or names
            no transfer syntax.
    """
    with ExitStack() as failing:
        file = failing.enter_context(path.open("rb"))
        if file.read(132)[128:] != b"DICM":
            raise IntakeError("this is no DICOM file: it lacks the prefix DICM")
        encoding = Encoding(_transfer_syntax(file))
        data_set = _inflate(file) if encoding.deflated else file
        failing.pop_all()
    return data_set, encoding


def pixel_hash(file: BinaryIO, encoding: Encoding) -> str:
    """Hash the pixel data whose element starts at the file's position.

    The value is hashed as encoded, fragment by fragment where encapsulated; 16-bit words of big
    endian files are hashed little endian, so that a transcoded copy keeps its hash.

    Raises:
        IntakeError: If the file ends before the pixel data does.
    """
    digest = hashlib.sha256()
    for length, swap in _pixel_values(file, encoding):
        _hash(file, length, digest, swap=swap)
    return digest.hexdigest()


def require_pixels(file: BinaryIO, encoding: Encoding) -> None:
    """Make sure that the file holds all of the pixel data whose element starts at its position.

    Raises:
        IntakeError: If the file ends before the pixel data does.
    """
    start = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(start)
    for length, _ in _pixel_values(file, encoding):
        if (end := file.tell() + length) > size:
            raise IntakeError(f"the pixel data ends {end - size} bytes too early")
        file.seek(end)


def _pixel_values(file: BinaryIO, encoding: Encoding) -> Iterator[tuple[int, bool]]:
    """Go to each value of the pixel data; the caller reads or passes it.

    Yields:
        The length of the value in bytes, and whether they are words in the order of big endian.
    """
    _, vr, length = _element(file, encoding)
    if length != UNDEFINED_LENGTH:
        yield length, not encoding.little and vr == b"OW"
        return
    while (item := _element(file, encoding))[0] != _SEQUENCE_DELIMITER:
        if item[0] != _ITEM:
            raise IntakeError("the encapsulated pixel data is damaged")
        yield item[2], False


def _transfer_syntax(file: BinaryIO) -> str:
    """Read the File Meta Information up to the first element of the data set.

    It is group 0002, always in Explicit VR Little Endian (PS3.10 section 7.1).

    Raises:
        IntakeError: If it names no transfer syntax.
    """
    meta, found = Encoding("1.2.840.10008.1.2.1"), ""
    while len(head := file.read(2)) == 2 and head == b"\x02\x00":
        file.seek(-2, io.SEEK_CUR)
        tag, _, length = _element(file, meta)
        if tag == _TRANSFER_SYNTAX and length <= _UID_BYTES:
            found = file.read(length).rstrip(b"\0 ").decode("ascii", "replace")
        else:
            file.seek(length, io.SEEK_CUR)
    file.seek(-len(head), io.SEEK_CUR)
    if not found:
        raise IntakeError("the File Meta Information is damaged")
    return found


def _inflate(file: BinaryIO) -> BinaryIO:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(file.read(), _INFLATED_BYTES)
    except zlib.error as error:
        raise IntakeError("the deflated data set is damaged") from error
    if inflater.unconsumed_tail:
        raise IntakeError(f"the deflated data set exceeds {_INFLATED_BYTES >> 20} MiB")
    file.close()
    return io.BytesIO(data)


def _element(file: BinaryIO, encoding: Encoding) -> tuple[int, bytes, int]:
    """Read tag, VR and length (PS3.5 section 7.1); items have no VR."""
    order = "<" if encoding.little else ">"
    head = file.read(8)
    try:
        group, number, length = struct.unpack(order + "HHL", head)
        if encoding.implicit or group == 0xFFFE:
            return group << 16 | number, b"", length
        vr = head[4:6]
        if vr in _LONG_VRS:
            (length,) = struct.unpack(order + "L", file.read(4))
        else:
            (length,) = struct.unpack(order + "H", head[6:])
    except struct.error as error:
        raise IntakeError("the data set ends within an element") from error
    return group << 16 | number, vr, length


def _hash(file: BinaryIO, length: int, digest: hashlib._Hash, *, swap: bool) -> None:
    left = length
    buffer = memoryview(bytearray(min(left, _CHUNK)))  # one for all: a new one costs more than it
    while left:
        count = file.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
        if not count:
            raise IntakeError(f"the pixel data ends {left} bytes too early")
        left -= count
        chunk = buffer[:count]
        if swap:
            even = bytearray(count)
            even[0::2], even[1::2] = bytes(chunk[1::2]), bytes(chunk[0::2])
            chunk = memoryview(even)
        digest.update(chunk)
