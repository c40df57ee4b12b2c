"""Distances along a drawn outline."""

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from models.simulation.random_fields import Mask
from models.simulation.settings import SimulationError

Point = tuple[int, int]


def extreme_points(mask: Mask) -> tuple[tuple[Point, Point], tuple[Point, Point]]:
    """Caliper ends (x, y) of the widest and the tallest extent of a mask.

    Raises:
        SimulationError: if the mask is empty.
    """
    y, x = np.nonzero(mask)
    if y.size == 0:
        raise SimulationError("an empty mask has no extent")

    def at(index: np.intp) -> Point:
        return int(x[index]), int(y[index])

    return (at(x.argmin()), at(x.argmax())), (at(y.argmin()), at(y.argmax()))


def maximum_diameter(mask: Mask, spacing: float) -> float:
    """Longest distance between two pixel centres of a mask, in the unit of `spacing`.

    Raises:
        SimulationError: if the mask is too small or too thin to have an area.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size < 2 or np.flatnonzero(mask.any(axis=0)).size < 2:
        raise SimulationError("a mask without area has no diameter")
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows][:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)])
    corners = ends[ConvexHull(ends, qhull_options="QJ").vertices]
    return float(pdist(corners.astype(float)).max() * spacing)
