"""The tissue around the tumour: skin, fat lobules, fascia and muscle, as echo levels in dB.

0 dB is drawn as middle grey. `diffuse` scatters and carries speckle; `sheet` is the strength
(0-1) of thin specular interfaces, which carry none.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import expit

from models.simulation.lesion_shape import AXIAL_MM, LATERAL_MM, LesionShape
from models.simulation.random_fields import Field, ridge, smooth_field, smooth_line

FAT_DB = 2.5
MUSCLE_DB = -5.8
SKIN_DB = 6.0


@dataclass(frozen=True, slots=True)
class Tissue:
    """Echo maps on the grid: `diffuse` in dB, `sheet` 0-1."""

    diffuse: Field
    sheet: Field


def grid_scale(axial: float, lateral: float) -> tuple[float, float]:
    """A scale in mm as samples of the grid."""
    return axial / AXIAL_MM, lateral / LATERAL_MM


def _patches(shape: tuple[int, int], scale: tuple[float, float], rng: np.random.Generator) -> Field:
    """Weights 0-1 that let structure come and go, as sheets do when they leave the slice."""
    return np.asarray(expit(4 * smooth_field(shape, scale, rng)), dtype=np.float32)


def _fat(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Hypoechoic lobules between wavy echogenic septa."""
    lobules = smooth_field(shape, grid_scale(1.1, 4.0), rng)
    small = smooth_field(shape, grid_scale(0.6, 2.2), rng)
    septa = ridge(lobules, 0.16) * _patches(shape, grid_scale(1.4, 4.0), rng)
    septa = septa + 0.6 * ridge(small, 0.12) * _patches(shape, grid_scale(1.4, 3.0), rng)
    level = FAT_DB + 2.6 * smooth_field(shape, grid_scale(2.2, 5.0), rng)
    return np.asarray(level + rng.uniform(8, 12) * np.minimum(septa, 1.0), dtype=np.float32)


def _muscle(shape: tuple[int, int], x: Field, rng: np.random.Generator) -> Field:
    """Dark fascicles and bright perimysium, sheared along a pennation angle."""
    spare = 200
    tall = (shape[0] + spare, shape[1])
    fibres = 3.2 * smooth_field(tall, grid_scale(0.28, 3.5), rng)
    sheets = ridge(smooth_field(tall, grid_scale(0.9, 7.0), rng), 0.15)
    sheets = sheets * _patches(tall, grid_scale(1.5, 4.0), rng)
    pattern = fibres + rng.uniform(8, 12) * sheets
    pennation = np.tan(rng.normal(0, 0.12))
    shear = (x[0] * pennation + 0.5 * smooth_line(shape[1], 70, rng)) / AXIAL_MM
    rows = np.arange(shape[0])[:, None] + spare / 2 + shear[None, :]
    columns = np.broadcast_to(np.arange(shape[1], dtype=float), shape)
    sheared = ndimage.map_coordinates(pattern, [rows, columns], order=1, mode="nearest")
    level = MUSCLE_DB + 2.4 * smooth_field(shape, grid_scale(2.4, 6.0), rng)
    return np.asarray(level + sheared, dtype=np.float32)


def _interface(z: Field, depth: Field, width: float, rng: np.random.Generator) -> Field:
    """A thin sheet at a depth that varies along the probe, fading in and out."""
    strength = np.clip(0.6 + 0.4 * smooth_line(depth.size, 30, rng), 0.08, 1.0)
    return np.asarray(strength * np.exp(-(((z - depth) / width) ** 2)), dtype=np.float32)


def _pushed_aside(shape: LesionShape) -> tuple[Field, Field]:
    """Sample positions of the undisturbed tissue once the mass has pushed it aside."""
    grid = shape.grid
    reach = 0.6 * shape.half_height + 1.5
    give = 1 - 0.45 * np.exp(-np.maximum(shape.distance, 0) / reach)
    rows = (shape.depth + (grid.z - shape.depth) * give) / AXIAL_MM
    columns = (shape.offset + (grid.x - shape.offset) * give) / LATERAL_MM + grid.shape[1] / 2
    return np.clip(rows, 0, grid.shape[0] - 1), np.clip(columns, 0, grid.shape[1] - 1)


def surrounding_tissue(shape: LesionShape, rng: np.random.Generator) -> Tissue:
    """Layers of the slice as if no mass had grown, then displaced by the mass."""
    grid = shape.grid
    size, z = grid.shape, grid.z
    dermis = shape.skin + 0.2 * smooth_line(size[1], 60, rng)
    waves = 0.9 * smooth_line(size[1], 90, rng) + 0.2 * smooth_line(size[1], 22, rng)
    fascia = np.asarray(shape.skin + shape.fat + waves, dtype=np.float32)
    above = expit((fascia - z) / 0.12)
    diffuse = above * _fat(size, rng) + (1 - above) * _muscle(size, grid.x, rng)
    sheet = _interface(z, fascia, 0.16, rng)
    lower = fascia + 1.0 + 0.4 * smooth_line(size[1], 50, rng)
    sheet = sheet + 0.5 * _interface(z, lower, 0.16, rng)
    if rng.random() < 0.45:
        second = fascia + rng.uniform(7, 14) + 1.2 * smooth_line(size[1], 80, rng)
        sheet = sheet + 0.9 * _interface(z, second, 0.18, rng)
    diffuse = diffuse + 9 * np.minimum(sheet, 1.0)
    where = _pushed_aside(shape)
    diffuse = ndimage.map_coordinates(diffuse, where, order=1, mode="nearest")
    sheet = ndimage.map_coordinates(sheet, where, order=1, mode="nearest")
    in_skin = expit((dermis - z) / 0.08)
    skin = SKIN_DB + 1.5 * smooth_field(size, grid_scale(0.25, 1.4), rng)
    diffuse = in_skin * skin + (1 - in_skin) * diffuse
    # coupling gel and epidermis: a bright line under a darker one
    diffuse = diffuse + 5 * np.exp(-(((z - 0.35) / 0.14) ** 2)) - 14 * np.exp(-((z / 0.16) ** 2))
    diffuse = diffuse + 3 * np.exp(-(((z - dermis) / 0.14) ** 2))
    return Tissue(
        diffuse=np.asarray(diffuse, dtype=np.float32),
        sheet=np.asarray(np.clip(sheet, 0, 1) * (1 - in_skin), dtype=np.float32),
    )
