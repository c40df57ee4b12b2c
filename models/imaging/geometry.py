"""How many millimetres a pixel of an ultrasound image is, and in which box that holds.

Rules (PS3.3 section C.8.5.5):
- A region counts when it is two-dimensional (Region Spatial Format 1), tissue or colour flow
  (Region Data Type 1 or 2), has Physical Units 3 (cm) both ways and finite nonzero deltas. The
  sign of a delta only says which way the axis points.
- The region must hold the whole mask. Of several, the smallest gives the spacing: a zoomed inset
  lies inside the picture it was taken from. The box then grows to the largest region of the same
  spacing, so that the colour box of a Doppler image does not cut the tissue around a lesion.
- A region that overhangs the raster along one axis was cropped with the image: its scale still
  holds. A region that overhangs along both was written for a larger raster: the image was scaled
  down and its deltas are wrong by an unknown factor, so nothing is measured with them.
- Pixel Spacing (PS3.3 section 10.7.1.3) counts where no region holds the mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from models.imaging.boxes import Box, bounding_box, region_box, whole
from models.imaging.decoders import DECODER_FAILURES
from models.imaging.errors import (
    EmptyMaskError,
    MaskOutsideImageError,
    MaskOutsideRegionError,
    NoCalibrationError,
    StaleCalibrationError,
    one_line,
)

_TWO_DIMENSIONAL = 1
_DATA_TYPES = frozenset({1, 2})  # tissue, colour flow
_CENTIMETRES = 3
_MM_PER_CM = 10.0
# Some systems write the first pixel outside as the end of a region.
_OVERHANG_PX = 1
# Deltas are written with few digits: regions within a thousandth share one spacing.
_SAME_SPACING = 1e-3


@dataclass(frozen=True, slots=True)
class PixelGeometry:
    """The scale of an image around one mask.

    Attributes:
        spacing: Millimetres between pixel centres (down the rows, across the columns).
        box: Pixels for which the spacing holds; the mask lies inside.
        source: Where the spacing comes from.
    """

    spacing: tuple[float, float]
    box: Box
    source: Literal["ultrasound region", "pixel spacing"]

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) and value > 0 for value in self.spacing):
            raise ValueError(f"a spacing is finite and positive, got {self.spacing}")


def pixel_geometry(dataset: Dataset, mask: NDArray[np.bool_]) -> PixelGeometry:
    """Find the scale that holds for a mask.

    Args:
        dataset: The image's header.
        mask: (rows, columns) bool, on the image's raster.

    Raises:
        MaskOutsideImageError: The mask's raster is not the image's.
        EmptyMaskError: The mask has no pixel.
        StaleCalibrationError: The regions belong to a raster of another size.
        MaskOutsideRegionError: There are calibrated regions, none holds the whole mask, and
            there is no Pixel Spacing.
        NoCalibrationError: There is no calibration at all, or none that can be read.
    """
    try:
        return _pixel_geometry(dataset, mask)
    except DECODER_FAILURES as error:  # an element is not what it should be
        raise NoCalibrationError(f"The calibration cannot be read: {one_line(error)}") from error


def _pixel_geometry(dataset: Dataset, mask: NDArray[np.bool_]) -> PixelGeometry:
    shape = (int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0))
    if mask.shape != shape:
        raise MaskOutsideImageError(
            f"The mask has {mask.shape[0]} x {mask.shape[1]} pixels, the image"
            f" {shape[0]} x {shape[1]}"
        )
    lesion = bounding_box(mask)
    if lesion is None:
        raise EmptyMaskError("The mask has no pixel")
    regions = _calibrated_regions(dataset, shape)
    holding = [region for region in regions if region.box.holds(lesion)]
    if holding:
        return _choose(holding)
    spacing = _pixel_spacing(dataset)
    if spacing is not None:
        return PixelGeometry(spacing, whole(shape), "pixel spacing")
    if regions:
        raise MaskOutsideRegionError("No single calibrated region holds the whole mask")
    raise NoCalibrationError("The image has neither a calibrated region nor a pixel spacing")


def _choose(holding: Sequence[PixelGeometry]) -> PixelGeometry:
    smallest = min(holding, key=lambda region: region.box.area)
    alike = [region for region in holding if _same_spacing(region.spacing, smallest.spacing)]
    return PixelGeometry(
        smallest.spacing,
        max((region.box for region in alike), key=lambda box: box.area),
        "ultrasound region",
    )


def _same_spacing(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return all(
        math.isclose(a, b, rel_tol=_SAME_SPACING) for a, b in zip(first, second, strict=True)
    )


def _calibrated_regions(dataset: Dataset, shape: tuple[int, int]) -> list[PixelGeometry]:
    raster = whole(shape)
    regions = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        spacing = _region_spacing(item)
        if spacing is None:
            continue
        box = region_box(item)
        if box.bottom > raster.bottom + _OVERHANG_PX and box.right > raster.right + _OVERHANG_PX:
            raise StaleCalibrationError(
                f"A region reaches to row {box.bottom} and column {box.right} of an image of"
                f" {shape[0]} x {shape[1]} pixels"
            )
        clipped = box.clipped(raster)
        if clipped.area:
            regions.append(PixelGeometry(spacing, clipped, "ultrasound region"))
    return regions


def _region_spacing(region: Dataset) -> tuple[float, float] | None:
    """(row, column) spacing in mm of a two-dimensional region in centimetres, else None."""
    if (
        region.get("RegionSpatialFormat") != _TWO_DIMENSIONAL
        or region.get("RegionDataType") not in _DATA_TYPES
        or region.get("PhysicalUnitsXDirection") != _CENTIMETRES
        or region.get("PhysicalUnitsYDirection") != _CENTIMETRES
    ):
        return None
    return _positive(
        _MM_PER_CM * abs(float(region.get("PhysicalDeltaY") or 0)),
        _MM_PER_CM * abs(float(region.get("PhysicalDeltaX") or 0)),
    )


def _pixel_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """(row, column) spacing in mm as Pixel Spacing orders it (PS3.3 section 10.7.1.3)."""
    value = dataset.get("PixelSpacing")
    if value is None or isinstance(value, str) or len(value) != 2:
        return None
    return _positive(float(value[0]), float(value[1]))


def _positive(row: float, column: float) -> tuple[float, float] | None:
    fine = math.isfinite(row) and math.isfinite(column) and row > 0 and column > 0
    return (row, column) if fine else None
