"""One slice of simulated anatomy: shape, tissue, tumour and sound put together."""

from dataclasses import dataclass

import numpy as np

from models.simulation.acoustics import gain, shadow_and_enhancement
from models.simulation.lesion import interior, is_cystic, with_lesion
from models.simulation.lesion_shape import LesionShape, place_lesion
from models.simulation.patient import Patient
from models.simulation.random_fields import Field
from models.simulation.tissue import surrounding_tissue


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What the probe looks at.

    Attributes:
        shape: the tumour and the grid.
        echo: diffuse echo level after attenuation and gain, dB, grid shape.
        sheet: strength of specular interfaces 0-1, grid shape.
    """

    shape: LesionShape
    echo: Field
    sheet: Field


def build_anatomy(patient: Patient, rng: np.random.Generator) -> Anatomy:
    """Grow the patient's tumour in a slice of soft tissue."""
    shape = place_lesion(patient.latents, rng)
    cystic = is_cystic(patient, rng)
    tissue = surrounding_tissue(shape, rng)
    inside = interior(patient, shape, rng, cystic=cystic)
    tissue = with_lesion(tissue, inside, patient, shape, rng)
    level = tissue.diffuse - shadow_and_enhancement(patient, shape, cystic=cystic)
    level = level + gain(shape, rng)
    return Anatomy(shape=shape, echo=np.asarray(level, dtype=np.float32), sheet=tissue.sheet)
