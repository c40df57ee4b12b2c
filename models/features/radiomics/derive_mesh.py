"""How `mesh.json` was made: pyradiomics' marching cubes on one slice, seen from outside.

A slice has two layers of cubes, one on either side. What both hold in one column depends only on
the 2 x 2 pixels between them, so area and volume are sums over 16 configurations. The share of
each is fitted to what pyradiomics answers for small random masks; the fit is exact.

Run `python -m models.features.radiomics.derive_mesh` to write the table again.
"""

import json
from pathlib import Path

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from radiomics import cShape

from models.errors import ModelsError
from models.features.radiomics.mesh import TABLE, MeshTable, count_configurations, triangle_areas

CORNERS = np.array([(0, 0), (0, 1), (1, 1), (1, 0)], float)
"""Corners of the 2 x 2 configuration as (y, x), in the order of its bits."""


class MeshFitError(ModelsError):
    """pyradiomics' mesh is no longer the sum over 2 x 2 configurations that was fitted."""


def _halfway_up(corner: int) -> NDArray[np.float64]:
    return np.array([0.5, *CORNERS[corner]])


def _between(corner: int, other: int) -> NDArray[np.float64]:
    return np.array([0.0, *((CORNERS[corner] + CORNERS[other]) / 2)])


def _fan(polygon: list[NDArray[np.float64]], start: int = 0) -> NDArray[np.float64]:
    """Absolute normals (twice the area, along z, y, x) of a polygon cut from one corner."""
    p = polygon[start:] + polygon[:start]
    return np.array([np.abs(np.cross(p[k] - p[0], p[k + 1] - p[0])) for k in range(1, len(p) - 1)])


def _candidates(configuration: int) -> list[NDArray[np.float64]]:
    """The ways one layer can close a configuration: several only for three pixels."""
    on = [k for k in range(4) if configuration >> k & 1]
    if len(on) == 4:
        return [_fan([_halfway_up(k) for k in range(4)])]
    if len(on) == 3:
        (off,) = set(range(4)) - set(on)
        a, b, c = (off - 1) % 4, (off + 2) % 4, (off + 1) % 4
        pentagon = [
            _between(a, off),
            _halfway_up(a),
            _halfway_up(b),
            _halfway_up(c),
            _between(c, off),
        ]
        # cut from c the pentagon gives the same triangles as cut from a
        return [_fan(pentagon, start) for start in (0, 1, 2, 4)]
    if len(on) == 2 and on[1] - on[0] != 2:
        a, b = on if on[1] - on[0] == 1 else (on[1], on[0])
        return [
            _fan(
                [_halfway_up(a), _halfway_up(b), _between(b, (b + 1) % 4), _between(a, (a - 1) % 4)]
            )
        ]
    single = [
        _fan([_halfway_up(k), _between(k, (k + 1) % 4), _between(k, (k - 1) % 4)]) for k in on
    ]
    return [np.concatenate(single)]


def _random_masks(n: int) -> list[NDArray[np.bool_]]:
    rng = np.random.default_rng(1)
    masks: list[NDArray[np.bool_]] = []
    while len(masks) < n:
        mask = np.zeros((12, 12), bool)
        rows, columns = rng.integers(1, 6, 2)
        y, x = rng.integers(1, 6, 2)
        mask[y : y + rows, x : x + columns] = rng.random((rows, columns)) < rng.choice(
            [0.3, 0.6, 0.9]
        )
        if mask.any():
            masks.append(mask)
    return masks


def _pyradiomics(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[float, float]:
    volume = np.zeros((3, *mask.shape), bool)
    volume[1] = mask
    area, enclosed, _ = cShape.calculate_coefficients(volume, spacing)
    return float(area), float(enclosed)


def derive() -> MeshTable:
    """Fit the table to pyradiomics.

    Raises:
        MeshFitError: if the fit leaves a residual or a share that is no whole number.
    """
    masks = _random_masks(250)
    counts = np.array([count_configurations(m)[1:] for m in masks])
    unit = np.ones(3)
    volumes = np.array([_pyradiomics(m, unit)[1] for m in masks])
    # the smallest solution is the share of each configuration; others differ by the fact that a
    # closed outline has as many turns of one kind as of the opposite kind
    shares = np.round(np.linalg.lstsq(counts.astype(float), volumes, rcond=None)[0] * 48)
    if not np.allclose(counts @ shares / 48, volumes, rtol=1e-12, atol=1e-12):
        raise MeshFitError("the volume is no sum over configurations")

    options = [(c, normals) for c in range(1, 16) for normals in _candidates(c)]
    rng = np.random.default_rng(2)
    spacings = rng.uniform(0.2, 3.0, (len(masks), 3))
    measured = np.array([_pyradiomics(m, s)[0] for m, s in zip(masks, spacings, strict=True)])
    design = np.array(
        [
            [n[c - 1] * triangle_areas(normals, s).sum() for c, normals in options]
            for n, s in zip(counts, spacings, strict=True)
        ]
    )
    weights = np.round(scipy.optimize.nnls(design, measured)[0])
    if not np.allclose(design @ weights, measured, rtol=1e-12, atol=1e-12):
        raise MeshFitError("the area is no sum over configurations")

    table: MeshTable = [{"volume_48ths": 0, "triangles": []} for _ in range(16)]
    for c in range(1, 16):
        table[c]["volume_48ths"] = int(shares[c - 1])
    for (c, normals), weight in zip(options, weights, strict=True):
        if weight:
            table[c]["triangles"] += [[int(weight), *map(float, n)] for n in normals]
    return table


def main() -> None:
    """Write `mesh.json` beside this file."""
    lines = ",\n".join("  " + json.dumps(entry) for entry in derive())
    Path(TABLE).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
