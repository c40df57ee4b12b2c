"""Rectangles of pixels, as ultrasound regions and crops use them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels, both ends included, 0-based.

    Attributes:
        top: First row.
        left: First column.
        bottom: Last row.
        right: Last column.
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Number of pixels; 0 where the ends are crossed."""
        return max(0, self.bottom - self.top + 1) * max(0, self.right - self.left + 1)

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of the box in an array; its ends must not be negative."""
        return slice(self.top, self.bottom + 1), slice(self.left, self.right + 1)

    def holds(self, other: Box) -> bool:
        """Whether `other` lies inside this box."""
        return (
            self.top <= other.top
            and self.left <= other.left
            and self.bottom >= other.bottom
            and self.right >= other.right
        )

    def clipped(self, other: Box) -> Box:
        """The part of this box that lies inside `other`."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def moved(self, rows: int, columns: int) -> Box:
        """This box `rows` further down and `columns` further right."""
        return Box(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def grown(self, rows: int, columns: int) -> Box:
        """This box with `rows` more above and below and `columns` more left and right."""
        return Box(self.top - rows, self.left - columns, self.bottom + rows, self.right + columns)


def whole(shape: tuple[int, int]) -> Box:
    """The box of a whole raster of (rows, columns)."""
    return Box(0, 0, shape[0] - 1, shape[1] - 1)


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box around the True pixels of a (rows, columns) mask; None where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))


def region_box(region: Dataset) -> Box:
    """The box of an ultrasound region (PS3.3 section C.8.5.5.1.4); missing ends give 0."""
    x0, y0 = region.get("RegionLocationMinX0") or 0, region.get("RegionLocationMinY0") or 0
    x1, y1 = region.get("RegionLocationMaxX1") or 0, region.get("RegionLocationMaxY1") or 0
    return Box(int(y0), int(x0), int(y1), int(x1))
