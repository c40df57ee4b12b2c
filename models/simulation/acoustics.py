"""What the sound does on its way: posterior features, edge shadows, gain and contact."""

import numpy as np
from scipy import ndimage
from scipy.special import expit

from models.simulation.lesion_shape import AXIAL_MM, LATERAL_MM, LesionShape
from models.simulation.patient import Patient
from models.simulation.random_fields import Field, smooth_field
from models.simulation.tissue import grid_scale


def shadow_and_enhancement(patient: Patient, shape: LesionShape, *, cystic: bool) -> Field:
    """Excess attenuation above each point in dB; negative behind fluid. Grid shape."""
    base = -0.42 if cystic else -0.08
    per_mm = float(np.clip(base + 0.16 * patient.latents.posterior, -0.55, 0.5))
    local = per_mm * expit(-shape.distance / 0.3)
    # refraction at steep sides: the narrow shadows below the edges of a round mass
    smooth = ndimage.gaussian_filter(shape.distance, (4, 2))
    steep = np.abs(np.gradient(smooth, LATERAL_MM, axis=1))
    local = local + 0.4 * np.clip(steep - 0.86, 0, 0.14) / 0.14 * np.exp(
        -((shape.distance / 0.45) ** 2)
    )
    total = np.cumsum(local, axis=0) * AXIAL_MM
    # the beam widens with depth, so columns behind the mass bleed into their neighbours
    narrow = ndimage.gaussian_filter1d(total, 0.6 / LATERAL_MM, axis=1)
    wide = ndimage.gaussian_filter1d(total, 2.2 / LATERAL_MM, axis=1)
    below = np.clip((shape.grid.z - shape.depth - shape.half_height * 0.5) / 14.0, 0, 1)
    blurred = (1 - below) * narrow + below * wide
    # soft limits: the scanner's gain leaves neither a white nor a black bar
    return np.asarray(
        np.where(blurred < 0, 6 * np.tanh(blurred / 6), 12 * np.tanh(blurred / 12)),
        dtype=np.float32,
    )


def gain(shape: LesionShape, rng: np.random.Generator) -> Field:
    """Time-gain compensation left over by the operator, and poor contact, in dB."""
    grid = shape.grid
    start = grid.depth_mm * rng.uniform(0.35, 0.6)
    falling = -np.maximum(0, grid.z - start) * rng.uniform(0.7, 1.3)
    focus = 2.0 * np.exp(-(((grid.z - shape.depth) / 8.0) ** 2))
    slow = 2.0 * smooth_field(grid.shape, grid_scale(7.0, 8.0), rng)
    contact = np.zeros_like(grid.x)
    if rng.random() < 0.3:
        edge = grid.x[0, 0] + rng.uniform(3, 8)
        contact = -9 * rng.random() * expit((edge - grid.x) / 1.2)
        contact = contact if rng.random() < 0.5 else contact[:, ::-1]
    return np.asarray(falling + focus + slow + contact, dtype=np.float32)
