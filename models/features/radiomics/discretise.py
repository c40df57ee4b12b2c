"""Grey levels of fixed bin width (IBSI 2.7, "fixed bin size", with pyradiomics' own origin).

pyradiomics starts the bins at the multiple of the bin width at or below the lowest value of the
lesion, not at that value: level = floor(v / w) - floor(min / w) + 1.
"""

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel
from models.features.radiomics.refusals import TooManyGreyLevelsError
from models.features.radiomics.settings import MAXIMUM_GREY_LEVELS


def bin_edges(lowest: float, highest: float, bin_width: float) -> NDArray[np.float64]:
    """The edges of the half-open bins, computed as pyradiomics' `getBinEdges` computes them.

    Args:
        lowest: smallest value in the lesion.
        highest: largest value in the lesion.
        bin_width: width of one bin.

    Returns:
        (levels + 1 or more,) rising edges; the first is at or below `lowest`.

    Raises:
        TooManyGreyLevelsError: if over 256 bins would be needed.
    """
    origin = lowest - (lowest % bin_width)
    levels = (highest - origin) // bin_width + 1
    if levels > MAXIMUM_GREY_LEVELS:
        raise TooManyGreyLevelsError(
            f"{levels:.0f} grey levels of width {bin_width:g} between {lowest:g} and {highest:g}; "
            f"at most {MAXIMUM_GREY_LEVELS} are measured"
        )
    return np.arange(origin, highest + 2 * bin_width, bin_width)


@kernel
def grey_levels(
    values: NDArray[np.float64],
    place: NDArray[np.int64],
    edges: NDArray[np.float64],
    levels: NDArray[np.int32],
) -> int:
    """Write the grey level of each lesion pixel into its place.

    Args:
        values: (n,) pixel values.
        place: (n,) flat index of each pixel in `levels`.
        edges: rising bin edges, `edges[0] <= values.min()` and `edges[-1] > values.max()`.
        levels: plane to write to, 1 for the first bin; other pixels are left as they are.

    Returns:
        The highest level written.
    """
    plane = levels.ravel()
    origin = edges[0]
    bins_per_unit = 1.0 / (edges[1] - edges[0])
    highest = 0
    for k in range(values.size):
        v = values[k]
        bin_ = int((v - origin) * bins_per_unit)
        # the product rounds; the edges themselves decide
        while v < edges[bin_]:
            bin_ -= 1
        while v >= edges[bin_ + 1]:
            bin_ += 1
        plane[place[k]] = bin_ + 1
        highest = max(highest, bin_ + 1)
    return highest
