"""The inside of the tumour and its border."""

import numpy as np
from scipy import ndimage
from scipy.special import expit

from models.simulation.lesion_shape import AXIAL_MM, LesionShape
from models.simulation.patient import Patient
from models.simulation.random_fields import Field, ridge, smooth_field
from models.simulation.tissue import Tissue, grid_scale

LESION_DB = -11.8
CYST_DB = -30.0


def is_cystic(patient: Patient, rng: np.random.Generator) -> bool:
    """Whether this tumour is fluid: every ganglion, one epidermoid cyst in four."""
    draw = rng.random()
    content = patient.histology.content
    return content == "cystic" or (content == "sometimes_cystic" and draw < 0.25)


def interior(
    patient: Patient, shape: LesionShape, rng: np.random.Generator, *, cystic: bool
) -> Field:
    """Echo level in dB as if the tumour filled the whole slice; grid shape."""
    size, latents = shape.grid.shape, patient.latents
    coarse = smooth_field(size, grid_scale(2.0, 2.8), rng)
    medium = smooth_field(size, grid_scale(0.8, 1.2), rng)
    fine = smooth_field(size, grid_scale(0.35, 0.6), rng)
    unevenness = 4.6 * np.exp(0.32 * latents.heterogeneity)
    texture = unevenness * (0.9 * coarse + 0.8 * medium + 0.8 * fine)
    # solid tissue has a brightest echo; the dark parts have no such bound
    texture = np.where(texture > 0, 12 * np.tanh(texture / 12), 15 * np.tanh(texture / 15))
    if cystic:
        # fluid with faint debris and reverberation near the anterior wall
        return np.asarray(CYST_DB + 0.5 * texture, dtype=np.float32)
    level = LESION_DB - 3.0 * latents.echo
    echoes = np.clip(level, -24.0, 0.0) + texture
    if patient.histology.content == "lipomatous":
        striations = ridge(smooth_field(size, grid_scale(0.5, 4.0), rng), 0.16)
        echoes += 9 * striations * expit(4 * smooth_field(size, grid_scale(1.0, 2.0), rng))
    if latents.heterogeneity > 0.9:
        necrosis = (
            smooth_field(size, grid_scale(1.6, 2.0), rng) - 1.35 + 0.22 * latents.heterogeneity
        )
        echoes -= 10 * expit(necrosis / 0.12)
    if latents.heterogeneity > 0.3 and rng.random() < 0.35:
        foci = (rng.random(size) < 1.6e-4).astype(np.float32)
        echoes += 18 * np.minimum(1, 14 * ndimage.gaussian_filter(foci, (1.8, 1.3)))
    return np.asarray(echoes, dtype=np.float32)


def _capsule(shape: LesionShape, margin: float, rng: np.random.Generator) -> Field:
    """A broken echogenic rim in dB, brightest where the beam meets it squarely."""
    smooth = ndimage.gaussian_filter(shape.distance, (3.0, 2.0))
    facing = np.clip(np.abs(np.gradient(smooth, AXIAL_MM, axis=0)), 0, 1)
    strength = np.clip(8 - 4.5 * margin + 2 * rng.standard_normal(), 0, 12)
    present = np.clip(0.4 + 0.8 * smooth_field(shape.grid.shape, grid_scale(2.0, 3.0), rng), 0, 1.2)
    rim = np.exp(-(((shape.distance - 0.15) / 0.18) ** 2))
    return np.asarray(strength * rim * (0.25 + 0.75 * facing) * present, dtype=np.float32)


def with_lesion(
    tissue: Tissue, inside: Field, patient: Patient, shape: LesionShape, rng: np.random.Generator
) -> Tissue:
    """Blend the tumour into its surroundings across a margin as blurred as its latent says."""
    size, margin = shape.grid.shape, patient.latents.margin
    blur = np.clip(0.12 * np.exp(0.75 * margin), 0.06, 1.4)
    uneven = 1 + 0.55 * np.clip(smooth_field(size, grid_scale(3.0, 4.0), rng), -1.2, 2)
    weight = expit(-shape.distance / np.maximum(blur * uneven, 0.06))
    diffuse = weight * inside + (1 - weight) * tissue.diffuse
    diffuse = diffuse + _capsule(shape, margin, rng)
    # infiltrated fat around an invasive margin is brighter
    halo = np.clip(4.8 + 1.3 * margin + rng.standard_normal(), 0, 8)
    diffuse = diffuse + halo * np.exp(-np.maximum(shape.distance, 0) / 2.2) * (1 - weight)
    return Tissue(
        diffuse=np.asarray(diffuse, dtype=np.float32),
        sheet=np.asarray(tissue.sheet * (1 - weight), dtype=np.float32),
    )
