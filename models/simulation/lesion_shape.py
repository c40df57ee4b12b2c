"""Where the tumour lies and where its boundary runs."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models.simulation.random_fields import Field, Mask, smooth_field
from models.simulation.settings import Latents

AXIAL_MM = 0.08
LATERAL_MM = 0.14
MARGIN_MM = 2.5
"""Tissue simulated beyond each side of the displayed window, so that the probe can move."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The tissue slice: depth and displayed width in mm, sampled AXIAL_MM by LATERAL_MM."""

    depth_mm: float
    width_mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Samples (depth, lateral), the lateral margins included."""
        lateral = self.width_mm + 2 * MARGIN_MM
        return int(self.depth_mm / AXIAL_MM), int(lateral / LATERAL_MM)

    @property
    def z(self) -> Field:
        """Depth in mm, a column vector."""
        return np.arange(self.shape[0], dtype=np.float32)[:, None] * np.float32(AXIAL_MM)

    @property
    def x(self) -> Field:
        """Lateral position in mm from the middle, a row vector."""
        columns = np.arange(self.shape[1], dtype=np.float32)[None, :]
        return (columns - np.float32(self.shape[1] / 2)) * np.float32(LATERAL_MM)


@dataclass(frozen=True, slots=True)
class LesionShape:
    """A tumour on its grid.

    Attributes:
        grid: the slice it lies in.
        distance: signed distance to the boundary in mm, negative inside, grid shape.
        half_width: nominal lateral half axis, mm.
        half_height: nominal axial half axis, mm.
        depth: depth of its centre, mm.
        offset: lateral position of its centre, mm.
        fat: depth of the deep fascia, mm.
        skin: depth of the dermis' lower edge, mm.
    """

    grid: Grid
    distance: Field
    half_width: float
    half_height: float
    depth: float
    offset: float
    fat: float
    skin: float


def nominal_diameter(latents: Latents) -> float:
    """Maximum diameter in mm: log-normal in the size latent, median 20 mm when benign."""
    return float(np.clip(np.exp(3.02 + 0.55 * latents.size), 7.0, 58.0))


def _grid_for(diameter: float) -> Grid:
    """The field of view a sonographer would choose, mm."""
    width = 38.0 if diameter < 24 else 50.0 if diameter < 40 else 64.0
    return Grid(depth_mm=float(np.clip(diameter * 0.62 + 16, 26, 50)), width_mm=width)


def _warped(
    grid: Grid, offset: float, depth: float, amplitude: float, rng: np.random.Generator
) -> tuple[Field, Field]:
    """Field about the centre, turned and warped so that no boundary is a clean ellipse."""
    turn = rng.normal(0, 0.16)
    x, z = grid.x - offset, grid.z - depth
    along = x * np.cos(turn) + z * np.sin(turn)
    across = -x * np.sin(turn) + z * np.cos(turn)
    scale = (1.6 / AXIAL_MM, 1.6 / LATERAL_MM)
    along = along + amplitude * smooth_field(grid.shape, scale, rng)
    across = across + amplitude * smooth_field(grid.shape, scale, rng)
    return along, across


def _radius_profile(irregularity: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """Boundary radius over the polar angle, as (angles, factors on the ellipse's radius)."""
    order = np.arange(2, 14)
    roughness = 0.045 * np.exp(0.62 * irregularity)
    amplitude = roughness * (order / 2.0) ** -0.95 * rng.standard_normal(order.size)
    phase = rng.uniform(0, 2 * np.pi, order.size)
    angles = np.linspace(-np.pi, np.pi, 721, dtype=np.float32)
    waves = amplitude[:, None] * np.cos(order[:, None] * angles + phase[:, None])
    # lobes saturate: a mass has bumps, not petals
    return angles, np.exp(0.45 * np.tanh(waves.sum(0) / 0.45)).astype(np.float32)


def _largest_part(mask: Mask) -> Mask:
    labels, parts = ndimage.label(mask)
    if parts > 1:
        mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.asarray(ndimage.binary_fill_holes(mask))


def signed_distance(mask: Mask, sampling: tuple[float, float]) -> Field:
    """Distance to the mask's boundary in the unit of `sampling`, negative inside."""
    outside = ndimage.distance_transform_edt(~mask, sampling)
    inside = ndimage.distance_transform_edt(mask, sampling)
    return np.asarray(outside - inside, dtype=np.float32)


def place_lesion(latents: Latents, rng: np.random.Generator) -> LesionShape:
    """Choose the field of view, the layers' depths and the tumour's place and outline."""
    diameter = nominal_diameter(latents)
    grid = _grid_for(diameter)
    skin = float(rng.uniform(1.2, 1.9))
    fat = float(np.clip(4 + 4.5 * rng.gamma(2.2, 0.7), 4, grid.depth_mm * 0.45))
    aspect = np.clip(0.56 + 0.10 * latents.irregularity + 0.10 * rng.standard_normal(), 0.36, 0.98)
    half_width = diameter / 2
    half_height = float(min(half_width * aspect, grid.depth_mm * 0.34))
    if latents.depth > 0.55:
        depth = fat + skin + half_height * rng.uniform(0.5, 1.0)
    else:
        depth = skin + 1 + half_height + max(0.0, fat - half_height) * rng.uniform(0, 0.4)
    depth = float(np.clip(depth, skin + half_height + 1.2, grid.depth_mm - half_height - 3.5))
    room = max(0.0, grid.width_mm / 2 - half_width - 1.0)
    offset = float(np.clip(rng.normal(0, grid.width_mm * 0.06), -room, room))
    warp = min(0.65, 0.16 * np.exp(0.55 * latents.irregularity)) * min(1.3, diameter / 22)
    along, across = _warped(grid, offset, depth, warp, rng)
    angles, factors = _radius_profile(latents.irregularity, rng)
    polar = np.arctan2(across / half_height, along / half_width)
    radius = np.interp(polar, angles, factors)
    inside = np.hypot(along / half_width, across / half_height) < radius
    inside &= (grid.z > skin + 0.6) & (grid.z < grid.depth_mm - 1.5)
    inside &= np.abs(grid.x) < grid.width_mm / 2 - 0.4
    return LesionShape(
        grid=grid,
        distance=signed_distance(_largest_part(inside), (AXIAL_MM, LATERAL_MM)),
        half_width=half_width,
        half_height=half_height,
        depth=depth,
        offset=offset,
        fat=fat,
        skin=skin,
    )
