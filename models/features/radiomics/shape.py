"""Shape of the lesion (IBSI 3.1) as pyradiomics' 3D class sees a single slice."""

import math

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.hull import diameters
from models.features.radiomics.jit import kernel
from models.features.radiomics.mesh import area_and_volume


@kernel
def moments(mask: NDArray[np.bool_]) -> tuple[int, int, int, int, int, int]:
    """Count and exact first and second moments of the pixel indices.

    Args:
        mask: (rows, columns) the lesion.

    Returns:
        n, sum y, sum x, sum y^2, sum x^2, sum xy.
    """
    n = sy = sx = syy = sxx = sxy = 0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                n += 1
                sy += y
                sx += x
                syy += y * y
                sxx += x * x
                sxy += x * y
    return n, sy, sx, syy, sxx, sxy


def principal_variances(
    mask: NDArray[np.bool_], row_mm: float, column_mm: float
) -> tuple[int, float, float]:
    """Pixels of the lesion and the larger and smaller variance of their positions.

    The sums are whole numbers, so pixels on one straight line have a smaller variance of exactly
    0, where an eigenvalue routine returns a rounding error.

    Args:
        mask: (rows, columns) the lesion.
        row_mm: distance between rows, mm.
        column_mm: distance between columns, mm.

    Returns:
        n, larger variance and smaller variance in mm^2.
    """
    n, sy, sx, syy, sxx, sxy = (int(m) for m in moments(mask))
    # n^2 times the covariance, in whole numbers of any size
    yy, xx, xy = n * syy - sy * sy, n * sxx - sx * sx, n * sxy - sy * sx
    a = yy * row_mm * row_mm
    b = xx * column_mm * column_mm
    c = xy * row_mm * column_mm
    larger = (a + b + math.hypot(a - b, 2 * c)) / 2
    product = (yy * xx - xy * xy) * (row_mm * column_mm) ** 2
    return n, larger / n**2, product / larger / n**2


def shape_features(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> dict[str, float]:
    """The 14 shape features.

    Args:
        mask: (rows, columns) the lesion, two pixels or more.
        spacing: edge lengths along z, y, x, mm.

    Returns:
        Values by pyradiomics' name without prefix. The lesion has no extent along z, so
        Flatness and LeastAxisLength are 0.
    """
    slice_mm, row_mm, column_mm = spacing
    rimmed = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.bool_)
    rimmed[1:-1, 1:-1] = mask
    area, volume = area_and_volume(rimmed, spacing)
    in_slice, in_column, in_row, in_space = diameters(rimmed, spacing)
    n, larger, smaller = principal_variances(mask, row_mm, column_mm)
    return {
        "Elongation": math.sqrt(smaller / larger),
        "Flatness": 0.0,
        "LeastAxisLength": 0.0,
        "MajorAxisLength": 4 * math.sqrt(larger),
        "Maximum2DDiameterColumn": in_column,
        "Maximum2DDiameterRow": in_row,
        "Maximum2DDiameterSlice": in_slice,
        "Maximum3DDiameter": in_space,
        "MeshVolume": volume,
        "MinorAxisLength": 4 * math.sqrt(smaller),
        "Sphericity": (36 * math.pi * volume**2) ** (1 / 3) / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume,
        "VoxelVolume": n * slice_mm * row_mm * column_mm,
    }
