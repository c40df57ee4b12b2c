r"""The stationary wavelet transform of one slice, to the last bit of what PyWavelets gives.

pyradiomics pads every axis of odd length by one wrapped sample and calls `pywt.swtn`, which
filters along x, then y, then z: :math:`o_n = \sum_j f_j \, i_{(n + F/2 - j) \bmod N}`. On a slice
the z axis is the slice twice, so its low-pass is a gain and its high-pass is a rounding error.
These errors decide into which bin a pixel falls when a band is flat, hence the care here: the
terms are added in PyWavelets' own order, which differs at the far border of the image.
"""

from functools import lru_cache

import numpy as np
import pywt
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

_COIF1 = pywt.Wavelet("coif1")
LOW: NDArray[np.float64] = np.array(_COIF1.dec_lo)
HIGH: NDArray[np.float64] = np.array(_COIF1.dec_hi)
TAPS = 6
BEFORE, AFTER = 2, 3
"""Pixels that an output needs before and after its own place: F/2 - 1 and F/2."""

PLANE_BANDS = ("LL", "LH", "HL", "HH")
"""In-plane bands in the order `band_values` returns them: filter along x, filter along y."""


@lru_cache(maxsize=64)
def tap_order(length: int) -> NDArray[np.int64]:
    """In which order PyWavelets adds the six products of each output of an axis.

    Args:
        length: samples of the axis, even.

    Returns:
        (length, 6) indices into the filter. All rows are 0..5, except where the filter reaches
        past the far end: there the wrapped samples come first, nearest to the border last.
    """
    order = np.empty((length, TAPS), np.int64)
    for place in range(length):
        past_the_end = max(place + AFTER - length + 1, 0)
        order[place, :past_the_end] = np.arange(past_the_end)[::-1]
        order[place, past_the_end:] = np.arange(past_the_end, TAPS)
    return order


def window(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """Which samples of an axis the outputs start..stop-1 rest on, wrapped as pyradiomics wraps.

    Args:
        start: first output wanted.
        stop: one past the last output wanted.
        length: samples of the axis; an odd axis is first padded by its first sample.

    Returns:
        (stop - start + 5,) indices into the axis.
    """
    places = np.arange(start - BEFORE, stop + AFTER) % (length + length % 2)
    places[places == length] = 0
    return places


@kernel
def band_values(
    block: NDArray[np.float64],
    mask: NDArray[np.bool_],
    x_order: NDArray[np.int64],
    y_order: NDArray[np.int64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Filter a block along x and then along y, and keep the pixels of the lesion.

    Rows filtered along x wait in a ring of six for the filter along y, so that nothing of the
    size of the block is ever written.

    Args:
        block: (rows + 5, columns + 5) pixels, as `window` lays them out on both axes.
        mask: (rows, columns) the lesion.
        x_order: (columns, 6) tap order of the wanted outputs.
        y_order: (rows, 6) the same for y.
        low: (6,) low-pass filter.
        high: (6,) high-pass filter.

    Returns:
        (4, n) pixels of the lesion row by row, in the order of `PLANE_BANDS`.
    """
    rows, columns = mask.shape
    out = np.empty((4, mask.sum()))
    ring = np.empty((2, TAPS, columns))
    line = np.empty((4, columns))
    odd = np.empty(columns, np.int64)  # outputs whose products are added in another order
    n_odd = 0
    for x in range(columns):
        for k in range(TAPS):
            if x_order[x, k] != k:
                odd[n_odd] = x
                n_odd += 1
                break
    n = 0
    for place in range(rows + 5):
        source = block[place]
        for f in range(2):
            taps = low if f == 0 else high
            t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
            target = ring[f, place % TAPS]
            for x in range(columns):
                target[x] = (
                    t0 * source[x + 5]
                    + t1 * source[x + 4]
                    + t2 * source[x + 3]
                    + t3 * source[x + 2]
                    + t4 * source[x + 1]
                    + t5 * source[x]
                )
            for m in range(n_odd):
                x = odd[m]
                total = 0.0
                for k in range(TAPS):
                    j = x_order[x, k]
                    total += taps[j] * source[x + 5 - j]
                target[x] = total
        y = place - 5
        if y < 0:
            continue
        # the order holds for a whole row, so the six rows are simply taken in it
        a, b, c = y_order[y, 0], y_order[y, 1], y_order[y, 2]
        d, e, h = y_order[y, 3], y_order[y, 4], y_order[y, 5]
        for f in range(2):
            ra, rb = ring[f, (place - a) % TAPS], ring[f, (place - b) % TAPS]
            rc, rd = ring[f, (place - c) % TAPS], ring[f, (place - d) % TAPS]
            re, rh = ring[f, (place - e) % TAPS], ring[f, (place - h) % TAPS]
            for g in range(2):
                taps = low if g == 0 else high
                ta, tb, tc, td, te, th = taps[a], taps[b], taps[c], taps[d], taps[e], taps[h]
                target = line[2 * f + g]
                for x in range(columns):
                    target[x] = (
                        ta * ra[x] + tb * rb[x] + tc * rc[x] + td * rd[x] + te * re[x] + th * rh[x]
                    )
        for x in range(columns):
            if mask[y, x]:
                for band in range(4):
                    out[band, n] = line[band, x]
                n += 1
    return out


@kernel
def across_slice(values: NDArray[np.float64], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filter along z, where every sample is the slice itself.

    Args:
        values: (n,) values of an in-plane band.
        taps: (6,) filter.

    Returns:
        (n,) values of the band of the volume.
    """
    out = np.empty(values.size)
    t0, t1, t2, t3, t4, t5 = taps[0], taps[1], taps[2], taps[3], taps[4], taps[5]
    for k in range(values.size):
        v = values[k]
        out[k] = t0 * v + t1 * v + t2 * v + t3 * v + t4 * v + t5 * v
    return out
