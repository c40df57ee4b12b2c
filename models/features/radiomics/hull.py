"""The largest distances between vertices of the mesh, without comparing every pair.

The mesh around one slice has its vertices above and below each pixel centre, half a slice away,
and in the plane of the slice, halfway between a pixel of the lesion and one outside. The farthest
pair of a set lies on its convex hull, and the hull of a row-wise set needs only the outermost
vertex of each row, so a lesion of n pixels costs about the square of its hull, not of n.

Coordinates here are doubled, so that all vertices are whole numbers.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

FAR = 1 << 30


@kernel
def outermost(
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The outermost vertices of each row and column.

    Args:
        mask: (rows, columns) with a rim of one pixel outside the lesion.

    Returns:
        For the vertices over the pixel centres: first and last doubled x of each doubled y as
        (2, 2 rows), first and last y of each x as (2, 2 columns); then the same two for the
        vertices in the plane. Where there is no vertex, the last is -1.
    """
    rows, columns = mask.shape
    centre_x = np.full((2, 2 * rows), -1, np.int64)
    centre_y = np.full((2, 2 * columns), -1, np.int64)
    plane_x = np.full((2, 2 * rows), -1, np.int64)
    plane_y = np.full((2, 2 * columns), -1, np.int64)
    centre_x[0] = FAR
    centre_y[0] = FAR
    plane_x[0] = FAR
    plane_y[0] = FAR
    for y in range(rows - 1):
        for x in range(columns - 1):
            inside = mask[y, x]
            if inside:
                centre_x[0, 2 * y] = min(centre_x[0, 2 * y], 2 * x)
                centre_x[1, 2 * y] = 2 * x
                centre_y[0, 2 * x] = min(centre_y[0, 2 * x], 2 * y)
                centre_y[1, 2 * x] = 2 * y
            if mask[y, x + 1] != inside:
                v, u = 2 * y, 2 * x + 1
                plane_x[0, v] = min(plane_x[0, v], u)
                plane_x[1, v] = max(plane_x[1, v], u)
                plane_y[0, u] = min(plane_y[0, u], v)
                plane_y[1, u] = max(plane_y[1, u], v)
            if mask[y + 1, x] != inside:
                v, u = 2 * y + 1, 2 * x
                plane_x[0, v] = min(plane_x[0, v], u)
                plane_x[1, v] = max(plane_x[1, v], u)
                plane_y[0, u] = min(plane_y[0, u], v)
                plane_y[1, u] = max(plane_y[1, u], v)
    return centre_x, centre_y, plane_x, plane_y


@kernel
def convex_hull(extent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Convex hull of the outermost points of each row, by monotone chains.

    Args:
        extent: (2, rows) first and last x of each row; last is -1 for an empty row.

    Returns:
        (n, 2) points (y, x): the left chain, then the right chain.
    """
    n = 0
    for y in range(extent.shape[1]):
        n += extent[1, y] >= 0
    hull = np.empty((2 * n, 2), np.int64)
    start = end = 0
    for side in range(2):
        turn = 1 if side == 0 else -1
        start = end
        for y in range(extent.shape[1]):
            if extent[1, y] < 0:
                continue
            x = extent[side, y]
            while end - start >= 2:
                y1, x1 = hull[end - 2]
                y2, x2 = hull[end - 1]
                if turn * ((y2 - y1) * (x - x1) - (x2 - x1) * (y - y1)) > 0:
                    break
                end -= 1
            hull[end, 0], hull[end, 1] = y, x
            end += 1
    return hull[:end]


@kernel
def farthest(
    points: NDArray[np.int64], others: NDArray[np.int64], row_mm: float, column_mm: float
) -> float:
    """The largest squared distance in the plane between a point and one of the others.

    Args:
        points: (n, 2) doubled (y, x).
        others: (m, 2) doubled (y, x).
        row_mm: distance between rows, mm.
        column_mm: distance between columns, mm.

    Returns:
        Squared distance, mm^2.
    """
    largest = 0.0
    for i in range(points.shape[0]):
        for j in range(others.shape[0]):
            dy = (points[i, 0] - others[j, 0]) * 0.5 * row_mm
            dx = (points[i, 1] - others[j, 1]) * 0.5 * column_mm
            largest = max(largest, dy * dy + dx * dx)
    return largest


def _along_lines(
    centre: NDArray[np.int64], plane: NDArray[np.int64], step_mm: float, slice_mm: float
) -> float:
    """The largest squared distance between vertices of one line."""
    has_centre, has_plane = centre[1] >= 0, plane[1] >= 0
    both = has_centre & has_plane
    across = (centre[1] - centre[0])[has_centre] * 0.5 * step_mm
    within = (plane[1] - plane[0])[has_plane] * 0.5 * step_mm
    crossed = np.maximum(plane[1] - centre[0], centre[1] - plane[0])[both] * 0.5 * step_mm
    squares = (
        across**2 + slice_mm**2,  # from above one pixel to below another
        within**2,
        crossed**2 + slice_mm**2 / 4,
    )
    return max(float(s.max(initial=0.0)) for s in squares)


def diameters(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[float, float, float, float]:
    """Maximum diameters as pyradiomics defines them.

    Args:
        mask: (rows, columns) with a rim of one pixel outside the lesion.
        spacing: edge lengths along z, y, x, mm.

    Returns:
        Within a plane of equal z ("Slice"), of equal y ("Column"), of equal x ("Row"), and in
        space, mm.
    """
    slice_mm, row_mm, column_mm = spacing
    centre_x, centre_y, plane_x, plane_y = outermost(mask)
    centres, midpoints = convex_hull(centre_x), convex_hull(plane_x)
    above = farthest(centres, centres, row_mm, column_mm)
    within = farthest(midpoints, midpoints, row_mm, column_mm)
    between = farthest(centres, midpoints, row_mm, column_mm)
    return (
        math.sqrt(max(above, within)),
        math.sqrt(_along_lines(centre_x, plane_x, column_mm, slice_mm)),
        math.sqrt(_along_lines(centre_y, plane_y, row_mm, slice_mm)),
        math.sqrt(max(above + slice_mm**2, within, between + slice_mm**2 / 4)),
    )
