"""An image and its mask on a square grid of fixed spacing.

Interpolation is separable, with a triangle as wide as the coarser of the two grids: linear where
the image gets finer, an area-weighted mean where it gets coarser, so that speckle finer than the
target grid does not alias. The triangle never overshoots: grey stays in its range. The mask takes
the same weights and the pixels that are covered to one half and more.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Standardisation = Literal["none", "region_zscore"]

ZSCORE_SCALE = 50.0
"""Grey levels per standard deviation: a bin width of 25 is half a standard deviation, which cuts
a lesion into about as many bins as its 8-bit grey values would be."""
ZSCORE_OFFSET = 128.0
"""Grey level of the lesion's mean."""

# Sums of weights differ in the last bits with the order of summation, a constant grey should not
# straddle a bin edge for that.
_DECIMALS = 6
_COVERED = 0.5


def resampled_size(size: int, spacing: float, target: float) -> int:
    """Number of target pixels that fit in `size` pixels of `spacing`, at least one."""
    return max(1, math.floor(size * spacing / target + 1e-9))


def resample_image(
    image: NDArray[np.float64], spacing: tuple[float, float], target: float
) -> NDArray[np.float64]:
    """Resample to square pixels.

    Args:
        image: (rows, columns).
        spacing: Millimetres (row, column).
        target: Millimetres both ways.

    Returns:
        The image on the new grid, centred on the old one, rounded to 1e-6 grey levels.
    """
    down = _along_rows(image, spacing[0], target)
    across = _along_rows(np.ascontiguousarray(down.T), spacing[1], target).T
    return np.ascontiguousarray(np.round(across, _DECIMALS))


def resample_mask(
    mask: NDArray[np.bool_], spacing: tuple[float, float], target: float
) -> NDArray[np.bool_]:
    """Resample a mask like its image; a pixel belongs to it when one half of it is covered."""
    cover = resample_image(mask.astype(np.float64), spacing, target)
    return np.asarray(cover >= _COVERED)


def standardise(
    image: NDArray[np.float64], mask: NDArray[np.bool_], how: Standardisation
) -> NDArray[np.float64]:
    """Bring grey values to a common scale.

    Args:
        image: (rows, columns).
        mask: The lesion, (rows, columns), not empty.
        how: `none` leaves them; `region_zscore` maps the lesion's mean to `ZSCORE_OFFSET` and its
            standard deviation to `ZSCORE_SCALE` grey levels. A flat lesion is only shifted.
    """
    if how == "none":
        return image
    inside = image[mask]
    deviation = float(inside.std())
    scale = ZSCORE_SCALE / deviation if deviation > 0 else 0.0
    return np.asarray(np.round((image - inside.mean()) * scale + ZSCORE_OFFSET, _DECIMALS))


def _along_rows(image: NDArray[np.float64], spacing: float, target: float) -> NDArray[np.float64]:
    size = resampled_size(image.shape[0], spacing, target)
    taps, weights = _weights(image.shape[0], size, target / spacing)
    result = np.zeros((size, image.shape[1]))
    # One pass a tap, in a fixed order: the same sums on every machine and thread count.
    for tap in range(taps.shape[1]):
        result += weights[:, tap, None] * image[taps[:, tap]]
    return result


def _weights(source: int, target: int, step: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Rows to read and their weights for each target row: two (target, taps) arrays."""
    width = max(1.0, step)
    centres = (np.arange(target) - (target - 1) / 2) * step + (source - 1) / 2
    first = np.floor(centres - width).astype(np.intp) + 1
    rows = first[:, None] + np.arange(math.ceil(2 * width))[None, :]
    weights = np.maximum(0.0, 1.0 - np.abs(rows - centres[:, None]) / width)
    weights[(rows < 0) | (rows >= source)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.clip(rows, 0, source - 1), weights
