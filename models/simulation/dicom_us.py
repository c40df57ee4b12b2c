"""Simulated screens as DICOM ultrasound (PS3.3 A.6 and A.7), the ways real scanners export.

Vendor A writes RGB, vendor B JPEG baseline YBR_FULL_422, vendor C MONOCHROME2 for grey images
without colour and RGB for colour flow; clips are JPEG baseline multi-frame.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from models.simulation.case import Picture, SimulatedCase
from models.simulation.dicom_header import case_header
from models.simulation.screen import Box
from models.simulation.settings import Encoding, SimulationError, vendors

JPEG_QUALITY = 92
FRAME_TIME_MS = 40

# ImageType value 4 (PS3.3 C.8.5.6.1.1): 0001 2D imaging, 0011 2D imaging and colour flow
GREY_TYPE = ["ORIGINAL", "PRIMARY", "MUSCULOSKELETAL", "0001"]
COLOUR_TYPE = ["ORIGINAL", "PRIMARY", "MUSCULOSKELETAL", "0011"]


def _region(place: Box, origin: Box, spacing_mm: float, data_type: int) -> Dataset:
    """One item of SequenceOfUltrasoundRegions (PS3.3 C.8.5.5).

    `data_type` is RegionDataType: 1 tissue, 2 colour flow. Units 3 are centimetres. The
    reference pixel is the middle of the probe's face, relative to the region's corner.
    """
    item = Dataset()
    item.RegionSpatialFormat = 1
    item.RegionDataType = data_type
    item.RegionFlags = 0
    item.RegionLocationMinX0 = place.left
    item.RegionLocationMinY0 = place.top
    item.RegionLocationMaxX1 = place.right
    item.RegionLocationMaxY1 = place.bottom
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = spacing_mm / 10
    item.ReferencePixelX0 = (origin.left + origin.right) // 2 - place.left
    item.ReferencePixelY0 = origin.top - place.top
    item.ReferencePixelPhysicalValueX = item.ReferencePixelPhysicalValueY = 0.0
    item.TransducerFrequency = 9000
    return item


def _jpeg(frame: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:2")
    return buffer.getvalue()


def _describe_pixels(ds: Dataset, pixels: NDArray[np.uint8], samples: int) -> None:
    """Image Pixel module (PS3.3 C.7.6.3) of 8-bit pixels without their data."""
    rows_axis = pixels.ndim - (3 if samples == 3 else 2)
    ds.SamplesPerPixel = samples
    ds.Rows, ds.Columns = pixels.shape[rows_axis : rows_axis + 2]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    if samples > 1:
        ds.PlanarConfiguration = 0
    ds.BurnedInAnnotation = "YES"


def _set_jpeg(ds: Dataset, frames: NDArray[np.uint8]) -> None:
    """Frames (n, rows, columns, 3) as JPEG baseline, YBR_FULL_422 (PS3.5 8.2.1)."""
    coded = [_jpeg(frame) for frame in frames]
    _describe_pixels(ds, frames, samples=3)
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.LossyImageCompressionRatio = f"{frames.nbytes / sum(map(len, coded)):.1f}"
    ds.PixelData = encapsulate(coded)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def _set_native(ds: Dataset, pixels: NDArray[np.uint8], photometric: str) -> None:
    """One uncompressed frame, (rows, columns) or (rows, columns, 3)."""
    _describe_pixels(ds, pixels, samples=1 if photometric == "MONOCHROME2" else 3)
    ds.PhotometricInterpretation = photometric
    ds.LossyImageCompression = "00"
    ds.PixelData = np.ascontiguousarray(pixels).tobytes()
    ds["PixelData"].VR = "OB"


def _still(case: SimulatedCase, what: str, picture: Picture, encoding: Encoding) -> Dataset:
    syntax = JPEGBaseline8Bit if encoding == "YBR_FULL_422" else ExplicitVRLittleEndian
    ds = case_header(case, UltrasoundImageStorage, what, syntax)
    if encoding == "YBR_FULL_422":
        _set_jpeg(ds, picture[None])
    elif encoding == "MONOCHROME2":
        _set_native(ds, picture[..., 0], encoding)
    else:
        _set_native(ds, picture, encoding)
    return ds


def grey_image(case: SimulatedCase) -> Dataset:
    """The B-mode screen as a single-frame US instance."""
    encoding = vendors()[case.vendor].grey_encoding
    grey_only = bool((case.grey == case.grey[..., :1]).all())
    if encoding == "MONOCHROME2" and not grey_only:
        encoding = "RGB"
    ds = _still(case, "grey", case.grey, encoding)
    ds.ImageType = GREY_TYPE
    ds.InstanceNumber = 1
    ds.UltrasoundColorDataPresent = 0
    ds.SequenceOfUltrasoundRegions = [
        _region(case.grey_region, case.grey_region, case.spacing_mm, data_type=1)
    ]
    return ds


def colour_image(case: SimulatedCase) -> Dataset:
    """The colour-flow screen as a single-frame US instance with its colour box as a region."""
    ds = _still(case, "colour", case.colour, vendors()[case.vendor].colour_encoding)
    ds.ImageType = COLOUR_TYPE
    ds.InstanceNumber = 2
    ds.UltrasoundColorDataPresent = 1
    origin = case.grey_region
    ds.SequenceOfUltrasoundRegions = [
        _region(origin, origin, case.spacing_mm, data_type=1),
        _region(case.flow_region, origin, case.spacing_mm, data_type=2),
    ]
    return ds


def clip(case: SimulatedCase) -> Dataset:
    """The sweep over the tumour as a multi-frame US instance.

    Raises:
        SimulationError: if the case has no clip.
    """
    if case.clip is None:
        raise SimulationError(f"{case.id}: no clip was taken")
    ds = case_header(case, UltrasoundMultiFrameImageStorage, "clip", JPEGBaseline8Bit)
    _set_jpeg(ds, case.clip)
    ds.ImageType = GREY_TYPE
    ds.InstanceNumber = 3
    ds.NumberOfFrames = len(case.clip)
    ds.FrameTime = FRAME_TIME_MS
    ds.FrameIncrementPointer = Tag("FrameTime")
    ds.UltrasoundColorDataPresent = 0
    ds.SequenceOfUltrasoundRegions = [
        _region(case.grey_region, case.grey_region, case.spacing_mm, data_type=1)
    ]
    return ds
