"""Which decoder reads which transfer syntax, and what it raises when it cannot.

pydicom tries every installed plugin. Here each syntax has its own, for two reasons: decoders of
lossy JPEG differ by a few grey levels, and GDCM aborts the whole process on damaged JPEG, JPEG-LS
and JPEG 2000 streams instead of raising, which would take a worker down with one bad file.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, uid
from pydicom.pixels.utils import pixel_array

DECODER_FAILURES = (
    ArithmeticError,
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
"""What pydicom and its plugins raise on pixel data that cannot be decoded."""

DECODERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        uid.JPEGBaseline8Bit: ("pillow", "pylibjpeg"),
        uid.JPEGExtended12Bit: ("pillow", "pylibjpeg"),  # Pillow leaves 12 bits to the second
        uid.JPEGLossless: ("pylibjpeg",),
        uid.JPEGLosslessSV1: ("pylibjpeg",),
        uid.JPEGLSLossless: ("pyjpegls",),
        uid.JPEGLSNearLossless: ("pyjpegls",),
        uid.JPEG2000Lossless: ("pylibjpeg",),
        uid.JPEG2000: ("pylibjpeg",),
        uid.HTJ2KLossless: ("pylibjpeg",),
        uid.HTJ2KLosslessRPCL: ("pylibjpeg",),
        uid.HTJ2K: ("pylibjpeg",),
        uid.RLELossless: ("pydicom",),
    }
)
"""pydicom plugins in the order they are tried, for every encapsulated still (PS3.5 section A.4)."""


def decode_array(dataset: Dataset, index: int) -> NDArray[np.generic]:
    """Decode frame `index` (0-based) as stored, YBR as RGB, without the decoders' warnings.

    Raises:
        Exception: One of `DECODER_FAILURES`.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return _decode(dataset, index, "")
    plugins = DECODERS.get(syntax)
    if plugins is None:
        raise NotImplementedError(f"no decoder is chosen for {syntax.name}")
    for plugin in plugins[:-1]:
        try:
            return _decode(dataset, index, plugin)
        except DECODER_FAILURES:
            continue
    return _decode(dataset, index, plugins[-1])


def _decode(dataset: Dataset, index: int, plugin: str) -> NDArray[np.generic]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(pixel_array(dataset, index=index, decoding_plugin=plugin))
