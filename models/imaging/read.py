"""One frame of an ultrasound image as an array: every still transfer syntax, one colour space.

Decisions:
- Palette and YBR images become RGB; RGB stays; MONOCHROME1 is inverted (PS3.3 section
  C.7.6.3.1.2), so that bright always means a strong echo.
- Rescale and window are not applied: the ultrasound IODs hold no Modality LUT Module (PS3.3
  Table A.6-1, A.7-1), and a window is how an image is shown, not what was measured. Texture rests
  on the stored grey values, alike in training and in serving.
- Only the one frame is decoded: a clip of hundreds of frames costs as much as a still.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut

from models.imaging.codestream import codestream_components, codestream_size, ends_whole
from models.imaging.decoders import CODECS, DECODER_FAILURES, decode_array
from models.imaging.errors import (
    FrameNumberError,
    PixelBudgetError,
    UndecodablePixelsError,
    VideoNotSupportedError,
    one_line,
)
from models.imaging.flow_header import FlowHeader, flow_header

DEFAULT_MAX_PIXELS = 1 << 25
"""Rows times columns of the largest frame that is decoded: 32 megapixels."""

VIDEO_TRANSFER_SYNTAXES = frozenset(uid.MPEGTransferSyntaxes)
"""MPEG-2, MPEG-4 and HEVC (PS3.5 sections 8.2.5 to 8.2.11)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame.

    Attributes:
        pixels: (rows, columns) grey, or (rows, columns, 3) RGB uint8.
        bits: Bits of a grey value: 255 is white at 8 bits.
        frame_number: 1-based (PS3.3 section 10.3).
        flow: What the header says about colour flow.
    """

    pixels: NDArray[np.generic]
    bits: int = 8
    frame_number: int = 1
    flow: FlowHeader = FlowHeader()  # noqa: RUF009 - frozen, so sharing it is safe

    def __post_init__(self) -> None:
        if self.pixels.ndim not in (2, 3) or self.pixels.shape[2:] not in ((), (3,)):
            raise ValueError(f"a frame is grey or RGB, got shape {self.pixels.shape}")
        if self.pixels.ndim == 3 and self.pixels.dtype != np.uint8:
            raise ValueError(f"an RGB frame is uint8, got {self.pixels.dtype}")
        if not 1 <= self.bits <= 32:
            raise ValueError(f"bits of a grey value lie in 1..32, got {self.bits}")

    @property
    def is_colour(self) -> bool:
        """Whether the frame has three samples a pixel; they may still all be grey."""
        return self.pixels.ndim == 3

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def eight_bit(self) -> NDArray[np.uint8]:
        """Return it for a person to see: RGB as it is, grey with white at 255."""
        if self.is_colour:
            return self.pixels.astype(np.uint8)
        white = 2.0**self.bits - 1.0
        scaled = np.clip(self.pixels.astype(np.float64) / white, 0, 1) * 255
        return np.rint(scaled).astype(np.uint8)


def read_frame(
    dataset: Dataset, frame_number: int = 1, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> Frame:
    """Decode one frame.

    Args:
        dataset: An image with its pixel data and file meta information.
        frame_number: 1-based.
        max_pixels: Refuse a frame of more pixels (rows times columns).

    Returns:
        The frame, grey or RGB.

    Raises:
        VideoNotSupportedError: The pixel data is a video stream.
        FrameNumberError: There is no such frame.
        PixelBudgetError: The frame is larger than `max_pixels`.
        UndecodablePixelsError: The pixel data is missing, damaged or not as described.
    """
    try:
        return _read_frame(dataset, frame_number, max_pixels)
    except DECODER_FAILURES as error:  # an element is not what it should be
        raise UndecodablePixelsError(f"The image cannot be read: {one_line(error)}") from error


def _read_frame(dataset: Dataset, frame_number: int, max_pixels: int) -> Frame:
    syntax = _transfer_syntax(dataset)
    if syntax in VIDEO_TRANSFER_SYNTAXES:
        raise VideoNotSupportedError(f"The pixel data is a video stream ({syntax.name})")
    frames = number_of_frames(dataset)
    if not 1 <= frame_number <= frames:
        raise FrameNumberError(f"Frame {frame_number} was asked for; the image holds {frames}")
    _check_sizes(dataset, syntax, frame_number, frames, max_pixels)
    try:
        pixels, bits = _decode(dataset, frame_number - 1)
        return Frame(pixels, bits, frame_number, flow_header(dataset))
    except DECODER_FAILURES as error:
        raise UndecodablePixelsError(
            f"Frame {frame_number} in {syntax.name} cannot be decoded: {one_line(error)}"
        ) from error


def number_of_frames(dataset: Dataset) -> int:
    """Return the number of frames; a still has one."""
    value = dataset.get("NumberOfFrames")
    return int(value) if value not in (None, "") else 1


def check_budget(pixels: int, max_pixels: int) -> None:
    """Raise PixelBudgetError where `pixels` is over `max_pixels`."""
    if pixels > max_pixels:
        raise PixelBudgetError(f"{pixels} pixels were declared, {max_pixels} are allowed")


def _transfer_syntax(dataset: Dataset) -> uid.UID:
    meta = getattr(dataset, "file_meta", None)
    syntax = None if meta is None else meta.get("TransferSyntaxUID")
    if not syntax:
        raise UndecodablePixelsError("The file names no Transfer Syntax")
    return uid.UID(syntax)


def _check_sizes(
    dataset: Dataset, syntax: uid.UID, frame_number: int, frames: int, max_pixels: int
) -> None:
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    check_budget(rows * columns, max_pixels)
    if rows * columns == 0 or not dataset.get("PixelData"):
        raise UndecodablePixelsError("The instance holds no pixel data")
    if syntax.is_encapsulated:
        try:
            check_frame_size(dataset, frame_number - 1, frames)
        except DECODER_FAILURES as error:
            raise UndecodablePixelsError(
                f"Frame {frame_number} cannot be found in the pixel data: {one_line(error)}"
            ) from error


def check_frame_size(dataset: Dataset, index: int, frames: int) -> None:
    """Let pass a compressed frame whose codestream is what the header says and not too large.

    Decoders allocate by the codestream; each codec has its budget.

    Args:
        dataset: With compressed pixel data.
        index: 0-based.
        frames: Number of frames.

    Raises:
        PixelBudgetError: The frame has more pixels than its codec may decode.
        UndecodablePixelsError: Header and codestream differ, or the codestream is cut off.
        Exception: One of `DECODER_FAILURES` where the frame cannot be found.
    """
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    codec = CODECS.get(dataset.file_meta.TransferSyntaxUID)
    budget = DEFAULT_MAX_PIXELS if codec is None else codec.maximum_pixels
    check_budget(rows * columns, budget)
    encoded = get_frame(dataset.PixelData, index, number_of_frames=frames)
    declared = codestream_size(encoded)
    if declared is None:
        return
    if not ends_whole(encoded):
        raise UndecodablePixelsError(f"Frame {index + 1} is truncated")
    check_budget(declared[0] * declared[1], budget)
    if declared != (rows, columns):
        raise UndecodablePixelsError(
            f"The header says {rows} x {columns} pixels, the codestream {declared[0]} x"
            f" {declared[1]}"
        )
    components, samples = codestream_components(encoded), dataset.get("SamplesPerPixel")
    if components != samples:
        raise UndecodablePixelsError(
            f"The header says {samples} samples a pixel, the codestream {components}"
        )


def _decode(dataset: Dataset, index: int) -> tuple[NDArray[np.generic], int]:
    pixels = decode_array(dataset, index)
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        colours = np.asarray(apply_color_lut(pixels, dataset))[..., :3]
        return _to_eight_bits(colours, 8 * colours.dtype.itemsize), 8
    if pixels.ndim == 3:
        return _to_eight_bits(pixels, int(dataset.BitsStored)), 8
    bits = int(dataset.BitsStored)
    if int(dataset.get("PixelRepresentation", 0)) == 1:
        # Grey values of ultrasound are unsigned (PS3.3 section C.8.5.6); signed ones are shifted.
        pixels = pixels.astype(np.int32) + (1 << (bits - 1))
    if photometric == "MONOCHROME1":
        pixels = (1 << bits) - 1 - pixels.astype(np.int32)
    return pixels.astype(np.uint8 if bits <= 8 else np.uint32 if bits > 16 else np.uint16), bits


def _to_eight_bits(pixels: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """Keep the upper eight of a colour sample's bits.

    Palettes store white as 0xFF00 or 0xFFFF. Samples that never leave the lower eight bits were
    written as 8-bit values in a wider word, and stay.
    """
    values = np.asarray(pixels)
    if bits > 8 and values.max(initial=0) > 255:
        values = np.right_shift(values, bits - 8)
    return values.astype(np.uint8)
