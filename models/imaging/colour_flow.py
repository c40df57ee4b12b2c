"""Grey echoes and the colour-flow overlay, told apart.

A colour ultrasound frame is a grey image with coloured pixels painted over it: flow, but also
calipers, boxes and text. Every coloured pixel is taken out of the grey image and filled from its
surroundings, because a texture must not measure paint; only what can be flow counts as flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.imaging.boxes import Box, whole
from models.imaging.read import Frame

# Chroma (largest minus smallest of R, G, B). JPEG leaves up to about 15 levels of it on grey
# pixels; the darkest flow colours have 60 and more. Between the two, a pixel is coloured when it
# touches one that certainly is: the blurred rim of 4:2:2 chroma.
_CHROMA_CERTAIN = 45
_CHROMA_POSSIBLE = 22
# A tinted grey map colours most of what is bright enough to show a tint.
_TINT_LUMA = 24
_TINT_SHARE = 0.5
_TINT_BANDS = 0.6
_TINT_STRIDE = 4
_BAND = 16
_BAND_SAMPLES = 12
# Pure green is a caliper's colour; velocity and power maps hold red, yellow, blue and cyan.
_GREEN_DOMINANCE = 1.6
# Fill overlay from ever wider surroundings (standard deviations in pixels).
_FILL_WIDTHS = (1.5, 3.0, 6.0, 12.0, 24.0, 48.0)
_FILL_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Separation:
    """A box of a frame without its paint.

    Attributes:
        grey: (rows, columns) float64, 0 black to 255 white, overlay filled from around.
        overlay: (rows, columns) bool, every painted pixel.
        flow: (rows, columns) bool, the painted pixels that can be flow.
    """

    grey: NDArray[np.float64]
    overlay: NDArray[np.bool_]
    flow: NDArray[np.bool_]


def has_colour(frame: Frame, box: Box | None = None) -> bool:
    """Whether any pixel of the frame (or of a box of it) is painted in colour."""
    return bool(separate(frame, box).overlay.any())


def flow_fraction(flow: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Part of the mask's pixels that show flow, 0..1; 0 where the mask is empty."""
    area = int(np.count_nonzero(mask))
    return float(np.count_nonzero(flow & mask)) / area if area else 0.0


def separate(frame: Frame, box: Box | None = None, around: Box | None = None) -> Separation:
    """Tell a frame's grey from its overlay.

    A grey value is the BT.601 luma of its RGB, so that grey stored as RGB equals the same grey
    stored as MONOCHROME2 exactly. Values of more than 8 bits are scaled to 0..255: one bin width
    then means the same on every image.

    Args:
        frame: Grey or RGB.
        box: The part to separate; the whole frame where None.
        around: The image area from which the tint of the grey map is learned; the whole frame
            where None.

    Returns:
        Arrays of the size of the box. A grey frame has no overlay.
    """
    rows, columns = (box or whole(frame.shape)).slices
    if not frame.is_colour:
        top = float((1 << frame.bits) - 1)
        grey = frame.pixels[rows, columns].astype(np.float64)
        nothing = np.zeros(grey.shape, dtype=bool)
        return Separation(grey if frame.bits == 8 else grey * (255.0 / top), nothing, nothing)
    rgb = frame.pixels[rows, columns].astype(np.int32)
    grey = luma(rgb)
    area = frame.pixels[(around or whole(frame.shape)).slices]
    chroma = _chroma(rgb, _tint(area))
    overlay = _coloured(chroma)
    if not overlay.any():
        return Separation(grey, overlay, overlay)
    return Separation(fill(grey, overlay), overlay, _could_be_flow(rgb, overlay))


def luma(rgb: NDArray[np.int32]) -> NDArray[np.float64]:
    """BT.601 luma of (..., 3) RGB in 0..255; R = G = B = v gives exactly v."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return np.asarray((299 * red + 587 * green + 114 * blue) / 1000.0, dtype=np.float64)


def fill(grey: NDArray[np.float64], hidden: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace hidden pixels by the Gaussian-weighted mean of their visible surroundings.

    The narrowest surroundings that hold enough visible pixels are used, so that a thin vessel is
    bridged from its walls and a broad one smoothly.

    Args:
        grey: (rows, columns).
        hidden: (rows, columns) bool.

    Returns:
        A copy with the hidden pixels replaced; where nothing is visible they become 0.
    """
    seen = (~hidden).astype(np.float64)
    filled = np.where(hidden, 0.0, grey)
    visible = filled.copy()
    left = hidden.copy()
    for width in _FILL_WIDTHS:
        if not left.any():
            return filled
        weight = ndimage.gaussian_filter(seen, width, mode="nearest")
        mean = ndimage.gaussian_filter(visible, width, mode="nearest")
        enough = left & (weight > _FILL_WEIGHT)
        filled[enough] = mean[enough] / weight[enough]
        left &= ~enough
    if left.any() and not hidden.all():
        filled[left] = grey[~hidden].mean()
    return filled


def _chroma(rgb: NDArray[np.int32], tint: NDArray[np.int32] | None) -> NDArray[np.int32]:
    if tint is not None:
        rgb = rgb - tint[luma(rgb).astype(np.intp)]
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    highest = np.maximum(np.maximum(red, green), blue)
    return np.asarray(highest - np.minimum(np.minimum(red, green), blue), dtype=np.int32)


def _tint(pixels: NDArray[np.generic]) -> NDArray[np.int32] | None:
    """The colour offset of a tinted grey map for each luma 0..255; None for a plain grey map.

    A tinted map colours most lit pixels and most of the grey scale; a blue title bar or a big
    vessel may do the first, never the second.
    """
    sample = pixels[::_TINT_STRIDE, ::_TINT_STRIDE].astype(np.int32).reshape(-1, 3)
    level = luma(sample)
    sample, level = sample[level >= _TINT_LUMA], level[level >= _TINT_LUMA]
    coloured = np.ptp(sample, axis=-1) >= _CHROMA_POSSIBLE
    if np.count_nonzero(coloured) <= _TINT_SHARE * coloured.size:
        return None
    offset = sample - level[:, None]
    band = level.astype(np.intp) // _BAND
    bands = [b for b in np.unique(band) if np.count_nonzero(band == b) >= _BAND_SAMPLES]
    tinted = [b for b in bands if np.median(coloured[band == b]) == 1]
    if len(tinted) <= _TINT_BANDS * len(bands):
        return None
    medians = np.array([np.median(offset[band == b], axis=0) for b in bands])
    centres = np.array([_BAND * (b + 0.5) for b in bands])
    levels = np.arange(256.0)
    curve = [np.interp(levels, centres, medians[:, channel]) for channel in range(3)]
    return np.asarray(np.rint(np.stack(curve, axis=-1)), dtype=np.int32)


def _coloured(chroma: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Hysteresis: possible pixels count where they hang together with a certain one."""
    certain = chroma >= _CHROMA_CERTAIN
    if not certain.any():
        return np.asarray(certain)
    eight_neighbours = np.ones((3, 3), dtype=bool)
    possible = chroma >= _CHROMA_POSSIBLE
    return np.asarray(ndimage.binary_propagation(certain, eight_neighbours, possible))


def _could_be_flow(rgb: NDArray[np.int32], overlay: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Overlay that is neither green nor one pixel thin: calipers and box outlines are."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    candidate = overlay & (green < _GREEN_DOMINANCE * np.maximum(red, blue))
    thick = ndimage.binary_opening(candidate, np.ones((2, 2), dtype=bool))
    return np.asarray(ndimage.binary_dilation(thick, np.ones((3, 3), dtype=bool)) & candidate)
