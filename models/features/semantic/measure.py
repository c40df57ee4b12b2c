"""Measurements of one lesion: continuous numbers, before any threshold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from models.features.semantic.diameter import maximum_diameter
from models.features.semantic.tissue import heterogeneity, irregularity, margin_sharpness
from models.imaging.preparation import Lesion
from models.imaging.resample import resample_image, resample_mask

MEASURING_SPACING_MM = 0.2
"""Margin and interior are measured on this grid, whatever grid a bundle's textures use, so that
learned thresholds mean the same everywhere."""

# Smaller specks of colour are noise or flash, not vessels.
_VESSEL_MM2 = 0.15


@dataclass(frozen=True, slots=True)
class SemanticMeasurements:
    """What image and mask say, before any threshold.

    Attributes:
        maximum_diameter: Millimetres.
        diameter_ends: (row, column) of both ends in the frame, pixels counted from 0 with whole
            numbers at pixel centres.
        truncated: The lesion touches the end of the image area: it may be larger.
        irregularity: `tissue.irregularity`.
        margin_sharpness: 1/mm (`tissue.margin_sharpness`); None where the lesion is too small.
        heterogeneity: Grey levels.
        flow_fraction: Part of the lesion's area that shows flow, 0..1; None where colour Doppler
            did not look.
        vessel_count: Separate flow signals in the lesion; None like `flow_fraction`.
    """

    maximum_diameter: float
    diameter_ends: tuple[tuple[float, float], tuple[float, float]]
    truncated: bool
    irregularity: float
    margin_sharpness: float | None
    heterogeneity: float | None
    flow_fraction: float | None = None
    vessel_count: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def measure_semantics(lesion: Lesion, doppler: Lesion | None = None) -> SemanticMeasurements:
    """Measure a lesion on its grey image and, where there is one, its colour image.

    Args:
        lesion: The lesion on the assessed frame.
        doppler: The same lesion as outlined on a colour Doppler frame, if any. Flow is taken from
            it, or from the assessed frame where that carries colour itself.
    """
    spacing = lesion.native_spacing
    diameter = maximum_diameter(lesion.native_mask, spacing)
    grey = resample_image(lesion.native_grey, spacing, MEASURING_SPACING_MM)
    mask = resample_mask(lesion.native_mask, spacing, MEASURING_SPACING_MM)
    fraction, vessels = _flow(lesion, doppler)
    return SemanticMeasurements(
        maximum_diameter=diameter.length_mm,
        diameter_ends=(
            _in_frame(diameter.ends[0], lesion.offset),
            _in_frame(diameter.ends[1], lesion.offset),
        ),
        truncated=_touches_border(lesion),
        irregularity=irregularity(lesion.native_mask, spacing),
        margin_sharpness=margin_sharpness(grey, mask, MEASURING_SPACING_MM),
        heterogeneity=heterogeneity(grey, mask, MEASURING_SPACING_MM),
        flow_fraction=fraction,
        vessel_count=vessels,
    )


def _flow(lesion: Lesion, doppler: Lesion | None) -> tuple[float | None, int | None]:
    for candidate in (doppler, lesion):
        if candidate is not None and candidate.native_flow is not None:
            seen = candidate.native_mask & candidate.native_flow.seen
            inside = candidate.native_flow.flow & seen
            pixel_mm2 = candidate.native_spacing[0] * candidate.native_spacing[1]
            labels, count = ndimage.label(inside, np.ones((3, 3), dtype=bool))
            sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * pixel_mm2
            vessels = sizes >= _VESSEL_MM2
            area = float(sizes[vessels].sum())
            return area / (np.count_nonzero(seen) * pixel_mm2), int(np.count_nonzero(vessels))
    return None, None


def _in_frame(point: tuple[float, float], offset: tuple[int, int]) -> tuple[float, float]:
    return point[0] + offset[0], point[1] + offset[1]


def _touches_border(lesion: Lesion) -> bool:
    mask = lesion.native_mask
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())
