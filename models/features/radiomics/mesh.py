"""Area and volume of the triangle mesh around one slice (IBSI 3.1.1 and 3.1.3).

pyradiomics lays marching cubes around the mask. `mesh.json` holds, for each configuration of
2 x 2 pixels, what the cubes on both sides of the slice add: the volume in 48ths of a voxel and
the triangles, as their number and the absolute components along z, y and x of a normal twice as
long as the area. Bit 0 of a configuration is the pixel (y, x), bit 1 (y, x+1), bit 2 (y+1, x+1)
and bit 3 (y+1, x). pyradiomics' table counts the triangles of configuration 10 (two pixels on
the antidiagonal) twice; so does this one. `derive_mesh` says where the table comes from.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

TABLE = Path(__file__).with_name("mesh.json")


class MeshEntry(TypedDict):
    """What one configuration adds to the mesh."""

    volume_48ths: int
    triangles: list[list[float]]


MeshTable = list[MeshEntry]


@lru_cache(maxsize=1)
def _table() -> MeshTable:
    table: MeshTable = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


@kernel
def count_configurations(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each configuration occurs.

    Args:
        mask: (rows, columns) with a rim of at least one pixel outside the lesion.

    Returns:
        (16,) number of 2 x 2 squares of each configuration.
    """
    counts = np.zeros(16, np.int64)
    number = np.empty(mask.shape[1] - 1, np.uint8)
    for y in range(mask.shape[0] - 1):
        row, below = mask[y], mask[y + 1]
        for x in range(number.size):
            number[x] = row[x] + 2 * row[x + 1] + 4 * below[x + 1] + 8 * below[x]
        for x in range(number.size):
            counts[number[x]] += 1
    return counts


def triangle_areas(
    normals: NDArray[np.float64], spacing: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Areas of triangles once the unit cube is stretched.

    Args:
        normals: (n, 3) absolute components along z, y, x, twice as long as the area.
        spacing: (3,) edge lengths along z, y, x, mm.

    Returns:
        (n,) areas, mm^2.
    """
    z, y, x = spacing
    stretched = normals * np.array([y * x, z * x, z * y])
    areas: NDArray[np.float64] = 0.5 * np.sqrt((stretched * stretched).sum(axis=1))
    return areas


@lru_cache(maxsize=64)
def _areas(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    areas = np.zeros(16)
    for configuration, entry in enumerate(_table()):
        if entry["triangles"]:
            triangles = np.array(entry["triangles"])
            stretched = triangle_areas(triangles[:, 1:], np.array(spacing))
            areas[configuration] = triangles[:, 0] @ stretched
    return areas


def area_and_volume(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[float, float]:
    """Surface area and volume of the mesh.

    Args:
        mask: (rows, columns) with a rim of at least one pixel outside the lesion.
        spacing: edge lengths along z, y, x, mm.

    Returns:
        Area in mm^2 and volume in mm^3.
    """
    counts = count_configurations(mask).astype(np.float64)
    shares = np.array([entry["volume_48ths"] for entry in _table()])
    z, y, x = spacing
    return float((counts * _areas(spacing)).sum()), float((counts * shares).sum()) / 48 * z * y * x
