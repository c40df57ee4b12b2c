"""Which decoder reads which transfer syntax, and what it raises when it cannot.

pydicom tries every installed plugin. Here each syntax has its own, for two reasons: decoders of
lossy JPEG differ by a few grey levels, and GDCM aborts the whole process on damaged JPEG, JPEG-LS
and JPEG 2000 streams instead of raising.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException
from pydicom.pixels.utils import pixel_array

from models.imaging.isolated import DECODER

DECODER_FAILURES = (
    ArithmeticError,
    BytesLengthException,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom and its plugins raise on pixel data, and pydicom on any element, that is damaged."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How one transfer syntax is decoded.

    Attributes:
        plugins: pydicom's plugins in the order they are tried.
        maximum_pixels: Rows times columns of the largest frame that is decoded; decoders of
            wavelets keep several times 32 bits a sample.
    """

    plugins: tuple[str, ...]
    maximum_pixels: int = 1 << 25


_JPEG = Codec(("pillow", "pylibjpeg"))  # Pillow leaves 12 bits to the second
_LOSSLESS = Codec(("pylibjpeg",))
_JPEG_LS = Codec(("pyjpegls",))
_WAVELET = Codec(("pylibjpeg",), maximum_pixels=1 << 24)

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        uid.JPEGBaseline8Bit: _JPEG,
        uid.JPEGExtended12Bit: _JPEG,
        uid.JPEGLossless: _LOSSLESS,
        uid.JPEGLosslessSV1: _LOSSLESS,
        uid.JPEGLSLossless: _JPEG_LS,
        uid.JPEGLSNearLossless: _JPEG_LS,
        uid.JPEG2000Lossless: _WAVELET,
        uid.JPEG2000: _WAVELET,
        uid.HTJ2KLossless: _WAVELET,
        uid.HTJ2KLosslessRPCL: _WAVELET,
        uid.HTJ2K: _WAVELET,
        uid.RLELossless: Codec(("pydicom",)),
    }
)
"""Every encapsulated still (PS3.5 section A.4) that is read."""

MODULE = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration"),
)
"""What a decoder is told: the Image Pixel module (PS3.3 section C.7.6.3) without the pixels."""


def decode_array(dataset: Dataset, index: int) -> NDArray[np.generic]:
    """Decode frame `index` (0-based) as stored, YBR as RGB, without the decoders' warnings.

    Compressed frames are decoded in a process of their own (`isolated`), uncompressed ones here:
    nothing but numpy reads those, and never more than the file holds.

    Raises:
        Exception: One of `DECODER_FAILURES`.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return _decode(dataset, index, "")
    if syntax not in CODECS:
        raise NotImplementedError(f"no decoder is chosen for {syntax.name}")
    frame = get_frame(dataset.PixelData, index, number_of_frames=_frames(dataset))
    described = {keyword: _plain(dataset.get(keyword)) for keyword in MODULE}
    return DECODER.decode({"transfer_syntax": str(syntax), **described}, frame)


def decode_here(dataset: Dataset, index: int) -> NDArray[np.generic]:
    """Decode a compressed frame in this process.

    Raises:
        Exception: One of `DECODER_FAILURES`.
    """
    plugins = CODECS[dataset.file_meta.TransferSyntaxUID].plugins
    for plugin in plugins[:-1]:
        try:
            return _decode(dataset, index, plugin)
        except DECODER_FAILURES:
            continue
    return _decode(dataset, index, plugins[-1])


def _frames(dataset: Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _plain(value: object) -> int | str | None:
    """A value as JSON takes it; what is no number is for the decoder to refuse."""
    return value if value is None or isinstance(value, int) else str(value)


def _decode(dataset: Dataset, index: int, plugin: str) -> NDArray[np.generic]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(pixel_array(dataset, index=index, decoding_plugin=plugin))
