"""The one way from a frame and a mask to a lesion, used alike in training and in serving."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from models.imaging.boxes import Box, bounding_box
from models.imaging.colour_flow import Separation, separate
from models.imaging.errors import EmptyMaskError, MaskOutsideImageError, MaskTooSmallError
from models.imaging.geometry import PixelGeometry
from models.imaging.read import Frame
from models.imaging.resample import (
    Standardisation,
    resample_image,
    resample_mask,
    standardise,
)

# A lone pixel has neither neighbours nor a spread.
_SMALLEST_LESION_PX = 2
# Part of the lesion that the colour box must show for its flow to be measured.
_SEEN_PART = 0.5
# Part of the lesion that must show flow where no header says that colour Doppler was on: a few
# coloured pixels may be calipers or their chroma, smeared by JPEG.
_EVIDENT_PART = 0.01


@dataclass(frozen=True, slots=True)
class ImagingSettings:
    """How lesions are prepared; part of every bundle.

    Attributes:
        spacing_mm: Square in-plane spacing of the resampled lesion.
        margin_mm: Tissue kept around the lesion's bounding box, where the image has it: room for
            the wavelet's support and for the surroundings in the deep crop.
        standardisation: `none` or `region_zscore` (`models.imaging.resample.standardise`).
    """

    spacing_mm: float = 0.2
    margin_mm: float = 6.0
    standardisation: Standardisation = "none"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.spacing_mm) and self.spacing_mm > 0):
            raise ValueError(f"spacing_mm must be positive, got {self.spacing_mm}")
        if not (math.isfinite(self.margin_mm) and self.margin_mm >= 0):
            raise ValueError(f"margin_mm must not be negative, got {self.margin_mm}")
        if self.standardisation not in get_args(Standardisation):
            raise ValueError(f"unknown standardisation {self.standardisation!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON or TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImagingSettings:
        """Rebuild the settings that `to_dict` wrote; an unknown key is a ValueError."""
        unknown = set(data) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown imaging settings: {', '.join(sorted(unknown))}")
        return cls(**data)

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of the settings."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class FlowMap:
    """Where colour Doppler looked and where it found flow.

    Attributes:
        flow: (rows, columns) bool, pixels that show flow.
        seen: (rows, columns) bool, pixels that colour Doppler covered; it holds `flow`.
    """

    flow: NDArray[np.bool_]
    seen: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.flow.shape != self.seen.shape:
            raise ValueError("flow and seen differ in shape")


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """A lesion ready for features.

    Attributes:
        image: (rows, columns) float64, resampled, overlay removed, standardised.
        mask: (rows, columns) bool on the same grid.
        spacing: Millimetres (row, column) of `image`.
        native_grey: (rows, columns) float64 in 0..255, the crop as acquired, overlay removed.
        native_mask: (rows, columns) bool on the crop.
        native_flow: Flow on the crop. None where nothing says that colour Doppler was on, or
            where its box misses most of the lesion: flow is then unknown, not absent.
        native_spacing: Millimetres (row, column) of the crop.
        offset: Row and column of the crop's first pixel in the frame.
    """

    image: NDArray[np.float64]
    mask: NDArray[np.bool_]
    spacing: tuple[float, float]
    native_grey: NDArray[np.float64]
    native_mask: NDArray[np.bool_]
    native_flow: FlowMap | None
    native_spacing: tuple[float, float]
    offset: tuple[int, int]

    def __post_init__(self) -> None:
        if self.image.shape != self.mask.shape:
            raise ValueError("image and mask differ in shape")
        if self.native_grey.shape != self.native_mask.shape:
            raise ValueError("native image and native mask differ in shape")
        if self.native_flow is not None and self.native_flow.flow.shape != self.native_mask.shape:
            raise ValueError("flow map and native mask differ in shape")


def prepare_lesion(
    frame: Frame,
    mask: NDArray[np.bool_],
    geometry: PixelGeometry,
    settings: ImagingSettings,
) -> Lesion:
    """Crop, remove the overlay, resample and standardise.

    Args:
        frame: The image frame that the mask was drawn on.
        mask: (rows, columns) bool on the frame's raster.
        geometry: From `models.imaging.geometry.pixel_geometry`.
        settings: The bundle's settings.

    Raises:
        MaskOutsideImageError: The mask's raster is not the frame's.
        EmptyMaskError: The mask has no pixel.
        MaskTooSmallError: The mask is one pixel, natively or after resampling.
    """
    lesion = _lesion_box(frame, mask)
    crop = _crop(lesion, geometry, settings.margin_mm)
    separation = separate(frame, crop, geometry.box)
    native_mask = np.ascontiguousarray(mask[crop.slices], dtype=bool)
    resampled_mask = resample_mask(native_mask, geometry.spacing, settings.spacing_mm)
    if np.count_nonzero(resampled_mask) < _SMALLEST_LESION_PX:
        raise MaskTooSmallError(f"The lesion vanishes at {settings.spacing_mm} mm a pixel")
    image = resample_image(separation.grey, geometry.spacing, settings.spacing_mm)
    return Lesion(
        image=standardise(image, resampled_mask, settings.standardisation),
        mask=resampled_mask,
        spacing=(settings.spacing_mm, settings.spacing_mm),
        native_grey=separation.grey,
        native_mask=native_mask,
        native_flow=_flow(frame, separation, crop, native_mask),
        native_spacing=geometry.spacing,
        offset=(crop.top, crop.left),
    )


def _lesion_box(frame: Frame, mask: NDArray[np.bool_]) -> Box:
    if mask.shape != frame.shape:
        raise MaskOutsideImageError(
            f"The mask has {mask.shape[0]} x {mask.shape[1]} pixels, the frame"
            f" {frame.shape[0]} x {frame.shape[1]}"
        )
    box = bounding_box(mask)
    if box is None:
        raise EmptyMaskError("The mask has no pixel")
    if np.count_nonzero(mask) < _SMALLEST_LESION_PX:
        raise MaskTooSmallError("The mask is a single pixel")
    return box


def _crop(lesion: Box, geometry: PixelGeometry, margin_mm: float) -> Box:
    rows, columns = (math.ceil(margin_mm / spacing) for spacing in geometry.spacing)
    return lesion.grown(rows, columns).clipped(geometry.box)


def _flow(
    frame: Frame, separation: Separation, crop: Box, mask: NDArray[np.bool_]
) -> FlowMap | None:
    """The flow map where colour Doppler looked at the lesion, else None.

    A large lesion often outgrows the colour box; what the box shows of it counts as long as that
    is most of it. Without boxes the whole frame was looked at, when the header says that colour
    Doppler was on or the lesion itself evidently shows flow; colour elsewhere may be a button.
    """
    if not frame.is_colour:
        return None
    seen = np.full(mask.shape, fill_value=not frame.flow.boxes)
    for box in frame.flow.boxes:
        inner = box.clipped(crop)
        if inner.area:
            seen[inner.moved(-crop.top, -crop.left).slices] = True
    if np.count_nonzero(seen & mask) < _SEEN_PART * np.count_nonzero(mask):
        return None
    flow = separation.flow & seen
    evident = np.count_nonzero(flow & mask) >= _EVIDENT_PART * np.count_nonzero(mask)
    shown = frame.flow.declared or evident
    return FlowMap(flow, seen) if shown else None
