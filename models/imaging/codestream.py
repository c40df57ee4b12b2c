"""The size that a compressed frame declares itself, read before any decoder allocates for it.

Decoders allocate by the codestream, not by the DICOM header: a few hundred bytes can declare a
raster of gigabytes. Sources: ITU-T T.81 section B.2.2 (JPEG SOF), ITU-T T.87 section C.2.2
(JPEG-LS SOF55), ITU-T T.800 section A.5.1 (JPEG 2000 SIZ; HTJ2K shares it).
"""

from __future__ import annotations

import struct

_JPEG_START = b"\xff\xd8"
_J2K_START = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000
_PADDING = 16
_JP2_BOX = b"\x00\x00\x00\x0cjP  "
# SOF0-SOF15 without DHT (C4), JPG (C8) and DAC (CC), and JPEG-LS's SOF55 (F7).
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
# Markers without a length: TEM and RST0-RST7.
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) as the codestream declares them.

    Args:
        frame: One encoded frame (JPEG, JPEG-LS, JPEG 2000 or HTJ2K).

    Returns:
        The declared size; None where the bytes are no such codestream (RLE has no size of its
        own) or end before declaring one.
    """
    if frame.startswith(_JPEG_START):
        return _jpeg_size(frame)
    if frame.startswith(_JP2_BOX):
        start = frame.find(_J2K_START)
        return _j2k_size(frame[start:]) if start >= 0 else None
    if frame.startswith(_J2K_START):
        return _j2k_size(frame)
    return None


def codestream_components(frame: bytes) -> int | None:
    """Return the number of components (samples a pixel) that the codestream declares.

    None where `codestream_size` says None.
    """
    if frame.startswith(_JPEG_START):
        start = _jpeg_frame_header(frame)
        return None if start is None else frame[start + 9]
    if frame.startswith((_JP2_BOX, _J2K_START)):
        start = frame.find(_J2K_START)
        # Csiz comes 36 bytes into the marker segment, after sizes and offsets of image and tiles.
        if start >= 0 and len(frame) >= start + 42:
            return int(struct.unpack_from(">H", frame, start + 40)[0])
    return None


def ends_whole(frame: bytes) -> bool:
    """Whether a frame with a codestream carries its end marker.

    Lenient decoders fill what a truncated codestream lacks with grey; a lesion must not be
    measured there.
    """
    return _END in frame[-_PADDING:]


def _j2k_size(frame: bytes) -> tuple[int, int] | None:
    # SOC, SIZ marker, Lsiz, Rsiz; then Xsiz, Ysiz, XOsiz, YOsiz.
    if len(frame) < 24:
        return None
    width, height, left, top = struct.unpack_from(">4I", frame, 8)
    return height - top, width - left


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    start = _jpeg_frame_header(frame)
    if start is None:
        return None
    rows, columns = struct.unpack_from(">2H", frame, start + 5)
    return rows, columns


def _jpeg_frame_header(frame: bytes) -> int | None:
    """Return where the frame header's marker is; it is whole up to its number of components."""
    position = 2
    while position + 10 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker in _FRAME_HEADERS:
            return position
        else:
            position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    return None
