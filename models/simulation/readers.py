"""Two simulated radiologists: their contours and what they read in the images."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models.simulation.outline import maximum_diameter
from models.simulation.random_fields import Field, Mask, smooth_field
from models.simulation.screen import Window
from models.simulation.settings import Latents, SimulationError, design

READERS = (1, 2)
REACH_MM = 3.0
"""No contour strays farther than this from the true boundary."""


@dataclass(frozen=True, slots=True)
class SemanticRead:
    """The semantic features of the paper (2.2) as one reader states them.

    Attributes:
        diameter_mm: maximum diameter of the reader's own contour.
        adler: blood flow grade 0-3.
        irregular: morphology (regular or irregular).
        unclear: boundary (clear or unclear).
        uneven: internal echo (uniform or uneven).
    """

    diameter_mm: float
    adler: int
    irregular: bool
    unclear: bool
    uneven: bool

    @property
    def flow(self) -> int:
        """1 for Adler 2-3, 0 for Adler 0-1."""
        return int(self.adler >= 2)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One reader's work on one case; masks are screen-sized bool arrays."""

    reader: int
    mask: Mask
    colour_mask: Mask
    semantics: SemanticRead


@dataclass(frozen=True, slots=True)
class Impression:
    """What the images show of three latents: common to all readers of the case."""

    irregularity: float
    margin: float
    heterogeneity: float


def first_impression(latents: Latents, rng: np.random.Generator) -> Impression:
    """The latents as far as the images show them."""
    noise = design("reading")["image_noise"] * rng.standard_normal(3)
    return Impression(
        irregularity=float(latents.irregularity + noise[0]),
        margin=float(latents.margin + noise[1]),
        heterogeneity=float(latents.heterogeneity + noise[2]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The tumour as one image shows it: signed distance to its boundary in mm, window shape."""

    window: Window
    distance: Field


def draw_contour(distance: Field, spacing: float, rng: np.random.Generator) -> Mask:
    """A reader's contour: the truth with a smooth boundary error and a bias.

    Args:
        distance: signed distance to the true boundary in mm, negative inside, (rows, columns).
        spacing: mm per pixel.
        rng: source of randomness; a second draw is a second look (intra-reader ICC).

    Returns:
        One connected region without holes, same shape.

    Raises:
        SimulationError: if there is no tumour in `distance`.
    """
    near = distance < REACH_MM
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not (distance < 0).any():
        raise SimulationError("there is no tumour to draw round")
    crop = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    settings = design("reading")
    close = distance[crop]
    wobble = smooth_field((close.shape[0], close.shape[1]), (2.5 / spacing,) * 2, rng)
    bias = rng.normal(0, settings["contour_bias_mm"])
    labels, parts = ndimage.label(close + settings["contour_sd_mm"] * wobble + bias < 0)
    drawn = np.zeros(distance.shape, dtype=bool)
    if parts == 0:
        drawn[crop] = close < 0
    else:
        largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
        drawn[crop] = ndimage.binary_fill_holes(largest)
    return drawn


def _adler_read(truth: int, rng: np.random.Generator) -> int:
    slips = rng.random() < design("reading")["adler_slip"]
    step = int(rng.choice([-1, 1])) if slips else 0
    return int(np.clip(truth + step, 0, 3))


def read_case(
    reader: int,
    grey: View,
    colour: View,
    adler: int,
    impression: Impression,
    rng: np.random.Generator,
) -> Reading:
    """One reader contours the tumour on both images and reads its semantic features."""
    settings = design("reading")
    mask = draw_contour(grey.distance, grey.window.spacing, rng)
    colour_mask = draw_contour(colour.distance, colour.window.spacing, rng)
    own = settings["reader_noise"] * rng.standard_normal(3)
    semantics = SemanticRead(
        diameter_mm=round(maximum_diameter(mask, grey.window.spacing), 1),
        adler=_adler_read(adler, rng),
        irregular=bool(impression.irregularity + own[0] > settings["irregular_above"]),
        unclear=bool(impression.margin + own[1] > settings["unclear_above"]),
        uneven=bool(impression.heterogeneity + own[2] > settings["uneven_above"]),
    )
    return Reading(
        reader=reader,
        mask=grey.window.on_screen(mask),
        colour_mask=colour.window.on_screen(colour_mask),
        semantics=semantics,
    )
