"""Shape, margin and interior of a lesion as continuous measurements, in physical units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Depth profiles across the outline: bins of 0.2 mm from 2.6 mm inside to 2.6 mm outside.
_STEP_MM = 0.2
_BINS = 26
_SECTORS = 24
_BIN_PIXELS = 3
# Plateaus start 1 mm from the outline: the first 8 and the last 8 bins.
_PLATEAU_BINS = 8
# The step is taken over two bins on either side, wherever within 0.6 mm of the outline it is
# steepest: a reader's line is no better than that.
_EDGE_BINS = 2
_SEARCH_BINS = 3
# Contrasts below this are noise of the plateaus' means.
_LEAST_CONTRAST = 1.0
# The interior starts inside the margin, and is smoothed to about the size of speckle.
_RIM_MM = 0.6
_SMOOTHING_MM = 0.4
_INTERIOR_PART = 0.3


def irregularity(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """How far a shape is from an ellipse.

    The area in which the mask and the ellipse of its centroid, its second moments' axes and its
    area differ, as a part of the mask's area: 0 for an ellipse, about 0.1 for a rectangle, growing
    with lobes and spicules.

    Args:
        mask: (rows, columns) bool, not empty.
        spacing: Millimetres (row, column).
    """
    rows, columns = np.nonzero(mask)
    down = (np.arange(mask.shape[0]) - rows.mean()) * spacing[0]
    across = (np.arange(mask.shape[1]) - columns.mean()) * spacing[1]
    y, x = down[rows], across[columns]
    # A pixel is a square, not a point: its own second moment is spacing^2 / 12.
    yy = float(np.mean(y * y)) + spacing[0] ** 2 / 12.0
    xx = float(np.mean(x * x)) + spacing[1] ** 2 / 12.0
    xy = float(np.mean(x * y))
    determinant = yy * xx - xy * xy
    # An ellipse p' C^-1 p = k has the area pi k sqrt(det C).
    level = rows.size * spacing[0] * spacing[1] / (np.pi * np.sqrt(determinant))
    form = (
        (xx * down**2)[:, None]
        - 2.0 * xy * down[:, None] * across[None, :]
        + (yy * across**2)[None, :]
    )
    ellipse = form <= level * determinant
    return float(np.count_nonzero(ellipse != mask) / rows.size)


def margin_sharpness(
    grey: NDArray[np.float64], mask: NDArray[np.bool_], spacing: float
) -> float | None:
    """How much of the contrast between lesion and surroundings the edge itself makes.

    In each of 24 sectors around the centroid, the mean grey is taken by depth from the outline.
    The sharpness is the steepest step near the outline, summed over the sectors, over the contrast
    between the plateaus further in and further out, summed likewise, over the width of the step.
    Contrast cancels: a faint lesion with a crisp edge is as clear as a dark one.

    Args:
        grey: (rows, columns) in grey levels of 0..255.
        mask: (rows, columns) bool.
        spacing: Millimetres a pixel, both ways.

    Returns:
        Part of the contrast a millimetre (1/mm); None where fewer than a quarter of the sectors
        reach from plateau to plateau, or where there is no contrast.
    """
    total, count = _depth_profiles(grey, mask, spacing)
    inner = _band_mean(total, count, 0, _PLATEAU_BINS)
    outer = _band_mean(total, count, _BINS - _PLATEAU_BINS, _BINS)
    contrast = outer - inner
    middle = _BINS // 2
    steps = [
        _band_mean(total, count, edge, edge + _EDGE_BINS)
        - _band_mean(total, count, edge - _EDGE_BINS, edge)
        for edge in range(middle - _SEARCH_BINS, middle + _SEARCH_BINS + 1)
    ]
    along = np.array(steps) * np.sign(contrast)
    usable = np.isfinite(along).all(axis=0)
    if np.count_nonzero(usable) < _SECTORS / 4:
        return None
    whole_contrast = float(np.abs(contrast[usable]).sum())
    if whole_contrast < _LEAST_CONTRAST * np.count_nonzero(usable):
        return None
    return float(along[:, usable].max(axis=0).sum()) / (whole_contrast * _EDGE_BINS * _STEP_MM)


def heterogeneity(
    grey: NDArray[np.float64], mask: NDArray[np.bool_], spacing: float
) -> float | None:
    """How much the interior's echo varies.

    The standard deviation of local mean grey (Gaussian of 0.4 mm, of lesion pixels only) over the
    lesion without its rim, after a plane is taken out: attenuation and gain tilt the grey of a
    uniform lesion.

    Args:
        grey: (rows, columns) in grey levels of 0..255.
        mask: (rows, columns) bool.
        spacing: Millimetres a pixel, both ways.

    Returns:
        Grey levels; None where the lesion is empty.
    """
    if not mask.any():
        return None
    core = ndimage.distance_transform_edt(mask, sampling=spacing) > _RIM_MM
    if np.count_nonzero(core) < _INTERIOR_PART * np.count_nonzero(mask):
        core = mask
    width = _SMOOTHING_MM / spacing
    weight = ndimage.gaussian_filter(core.astype(np.float64), width, mode="constant")
    total = ndimage.gaussian_filter(np.where(core, grey, 0.0), width, mode="constant")
    local = total[core] / weight[core]
    rows, columns = np.nonzero(core)
    plane = np.column_stack([np.ones(rows.size), rows - rows.mean(), columns - columns.mean()])
    return float(np.std(local - plane @ np.linalg.lstsq(plane, local, rcond=None)[0]))


def _depth_profiles(
    grey: NDArray[np.float64], mask: NDArray[np.bool_], spacing: float
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Sum of grey and number of pixels by sector and depth: two (sectors, bins) arrays."""
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing)
    # Distances run between pixel centres; the outline lies half a pixel before the first.
    depth = np.where(mask, spacing / 2 - inside, outside - spacing / 2)
    layer = np.floor(depth / _STEP_MM).astype(np.intp) + _BINS // 2
    near = (layer >= 0) & (layer < _BINS)
    rows, columns = np.nonzero(near)
    centre = np.argwhere(mask).mean(axis=0)
    turn = np.arctan2(rows - centre[0], columns - centre[1]) / (2 * np.pi) + 0.5
    sector = np.minimum((turn * _SECTORS).astype(np.intp), _SECTORS - 1)
    cell = sector * _BINS + layer[near]
    size = _SECTORS * _BINS
    total = np.bincount(cell, weights=grey[near], minlength=size).astype(np.float64)
    count = np.bincount(cell, minlength=size).astype(np.intp)
    shape = (_SECTORS, _BINS)
    return np.asarray(total.reshape(shape)), np.asarray(count.reshape(shape))


def _band_mean(
    total: NDArray[np.float64], count: NDArray[np.intp], start: int, stop: int
) -> NDArray[np.float64]:
    """Mean grey of each sector over a range of depths; NaN where it holds too few pixels."""
    pixels = count[:, start:stop].sum(axis=1)
    enough = pixels >= _BIN_PIXELS
    sums = total[:, start:stop].sum(axis=1)
    return np.where(enough, sums / np.maximum(pixels, 1), np.nan)
