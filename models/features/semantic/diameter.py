"""The longest straight line through a mask, exactly.

The outline runs half a pixel outside the outermost pixel centres, through the middles of the
boundary pixels' edges: where marching squares draws it, so the value equals the radiomics
`Maximum2DDiameter`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Diameter:
    """A longest line.

    Attributes:
        length_mm: Its length.
        ends: (row, column) of its two ends in pixels, whole numbers at pixel centres.
    """

    length_mm: float
    ends: tuple[tuple[float, float], tuple[float, float]]


def maximum_diameter(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> Diameter:
    """Find the largest distance between two points of a mask's outline.

    Args:
        mask: (rows, columns) bool, not empty.
        spacing: Millimetres (row, column).

    Returns:
        The diameter; of equal ones, the first in row order of the hull's points.
    """
    outline = _outline(mask)
    scaled = outline * np.asarray(spacing)
    # The two ends of a longest line are corners of the convex hull.
    corners = np.sort(ConvexHull(scaled).vertices)
    points = scaled[corners]
    squared = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=-1)
    first, second = np.unravel_index(int(squared.argmax()), squared.shape)
    ends = outline[corners[[first, second]]]
    return Diameter(
        float(np.sqrt(squared[first, second])),
        ((float(ends[0, 0]), float(ends[0, 1])), (float(ends[1, 0]), float(ends[1, 1]))),
    )


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Edge middles of the outermost pixels of each row and each column, as (row, column)."""
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    columns = np.flatnonzero(mask.any(axis=0))
    top = mask[:, columns].argmax(axis=0)
    bottom = mask.shape[0] - 1 - mask[::-1, columns].argmax(axis=0)
    return np.concatenate(
        [
            np.column_stack([rows, left - _HALF]),
            np.column_stack([rows, right + _HALF]),
            np.column_stack([top - _HALF, columns]),
            np.column_stack([bottom + _HALF, columns]),
        ]
    )
