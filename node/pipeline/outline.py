"""The outline of a mask as one closed polygon, for reports."""

from __future__ import annotations

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray

_MOST_POINTS = 600  # an SR stays small; more cannot be seen


def outline_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Trace the longest boundary of a mask, half-way between inside and outside pixels.

    Args:
        mask: (rows, columns) bool.

    Returns:
        (points, 2) as (column, row), whole numbers at pixel centres, the first point repeated
        last; empty for an empty mask.
    """
    if not mask.any():
        return np.empty((0, 2))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = rows[0], columns[0]
    crop = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(float), 1)
    lines = contour_generator(z=crop, line_type=LineType.Separate).lines(0.5)
    longest: NDArray[np.float64] = max((np.asarray(line) for line in lines), key=len)
    step = -(-len(longest) // _MOST_POINTS)
    points = longest[:-1][::step]
    closed: NDArray[np.float64] = np.vstack([points, points[:1]])
    closed += np.array([left - 1.0, top - 1.0])
    return closed
