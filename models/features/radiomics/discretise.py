"""Grey levels of fixed bin width (IBSI 2.7, "fixed bin size", with pyradiomics' own origin).

pyradiomics starts the bins at the multiple of the bin width at or below the lowest value of the
lesion, not at that value: level = floor(v / w) - floor(min / w) + 1.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel
from models.features.radiomics.refusals import TooManyGreyLevelsError
from models.features.radiomics.settings import MAXIMUM_GREY_LEVELS

FINEST_BIN_ULPS = 1024
"""Spacings of float64 in a bin, at least: no rounding then moves an edge by a whole bin."""


def bin_edges(lowest: float, highest: float, bin_width: float) -> NDArray[np.float64]:
    """The edges of the half-open bins, computed as pyradiomics' `getBinEdges` computes them.

    Args:
        lowest: smallest value in the lesion.
        highest: largest value in the lesion.
        bin_width: width of one bin.

    Returns:
        (levels + 1 or more,) rising edges; the first is at or below `lowest`.

    Raises:
        TooManyGreyLevelsError: if over 256 bins would be needed, or if the values are so large
            that edges a bin width apart are lost in their rounding.
    """
    origin = lowest - (lowest % bin_width)
    levels = (highest - origin) // bin_width + 1
    if levels > MAXIMUM_GREY_LEVELS:
        raise TooManyGreyLevelsError(
            f"{levels:.0f} grey levels of width {bin_width:g} between {lowest:g} and {highest:g}; "
            f"at most {MAXIMUM_GREY_LEVELS} are measured"
        )
    if bin_width < FINEST_BIN_ULPS * math.ulp(max(abs(lowest), abs(highest))):
        raise TooManyGreyLevelsError(
            f"grey levels of width {bin_width:g} are lost in the rounding of values "
            f"from {lowest:g} to {highest:g}"
        )
    return np.arange(origin, highest + 2 * bin_width, bin_width)


@kernel
def grey_levels(
    values: NDArray[np.float64], mask: NDArray[np.bool_], edges: NDArray[np.float64]
) -> tuple[NDArray[np.int16], int]:
    """The plane of grey levels that all matrices are counted on.

    Args:
        values: (n,) pixel values of the lesion, row by row.
        mask: (rows, columns) the lesion.
        edges: rising bin edges, `edges[0] <= values.min()` and `edges[-1] > values.max()`.

    Returns:
        levels: (rows + 2, columns + 2) from 1 for the first bin, 0 outside the lesion and on the
            rim.
        highest: the highest level.
    """
    rows, columns = mask.shape
    levels = np.empty((rows + 2, columns + 2), np.int16)
    levels[0] = 0
    levels[rows + 1] = 0
    origin = edges[0]
    bins_per_unit = 1.0 / (edges[1] - edges[0])
    highest = 0
    k = 0
    for y in range(rows):
        row = levels[y + 1]
        row[0] = 0
        row[columns + 1] = 0
        for x in range(columns):
            if not mask[y, x]:
                row[x + 1] = 0
                continue
            v = values[k]
            k += 1
            # an unsigned index spares numba the question whether it is negative
            bin_ = np.uint64(int((v - origin) * bins_per_unit))
            # the product rounds, by less than a bin; the edges themselves decide
            bin_ -= np.uint64(v < edges[bin_])
            bin_ += np.uint64(1)
            bin_ += np.uint64(v >= edges[bin_])
            row[x + 1] = bin_
            highest = max(highest, int(row[x + 1]))
    return levels, highest
