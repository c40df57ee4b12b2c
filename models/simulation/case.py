"""One simulated case: patient, pictures, masks and readings."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.simulation.anatomy import build_anatomy
from models.simulation.doppler import colour_flow
from models.simulation.lesion_shape import signed_distance
from models.simulation.outline import maximum_diameter
from models.simulation.patient import Patient, draw_patient
from models.simulation.random_fields import Field, Mask
from models.simulation.readers import (
    READERS,
    Reading,
    View,
    draw_contour,
    first_impression,
    read_case,
)
from models.simulation.screen import (
    Box,
    Window,
    colour_screen,
    flow_box,
    grey_screen,
    open_window,
)
from models.simulation.settings import SimulationError, vendors
from models.simulation.speckle import bmode, set_console

Picture = NDArray[np.uint8]

CALIPERS_LEFT_ON = 0.35
CLIP_EVERY = 5
"""Every fifth case of a site also has a clip."""
CLIP_FRAMES = 8
SECOND_LOOK = 2
"""Stream of randomness of the re-segmentation, apart from the case's own."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedCase:
    """One simulated case.

    Attributes:
        seed: seed of its cohort.
        index: its number within its site.
        patient: who it is; label, histology, age and sex are also properties here.
        grey: exported B-mode screen, (rows, columns, 3) uint8 RGB.
        colour: exported colour-flow screen, same shape.
        mask: the true tumour on `grey`, (rows, columns) bool.
        colour_mask: the true tumour on `colour`; the probe has moved a little in between.
        readings: what the two readers drew and read.
        spacing_mm: mm per pixel, both ways.
        grey_region: place of the B-mode picture on the screen.
        flow_region: the colour box on `colour`.
        diameter_mm: maximum diameter of the true mask.
        adler: true blood flow grade 0-3.
        clip: a short sweep, (frames, rows, columns, 3) uint8 RGB; None when none was taken.
    """

    seed: int
    index: int
    patient: Patient
    grey: Picture
    colour: Picture
    mask: Mask
    colour_mask: Mask
    readings: tuple[Reading, ...]
    spacing_mm: float
    grey_region: Box
    flow_region: Box
    diameter_mm: float
    adler: int
    clip: Picture | None

    def __post_init__(self) -> None:
        if self.mask.shape != self.grey.shape[:2] or self.colour.shape != self.grey.shape:
            raise SimulationError(f"{self.id}: pictures and masks differ in size")
        if not self.mask.any() or not self.colour_mask.any():
            raise SimulationError(f"{self.id}: the tumour is not on the screen")

    @property
    def id(self) -> str:
        """Identifier, S<site>-<index>."""
        return self.patient.id

    @property
    def site(self) -> int:
        """1 training hospital, 2 external hospital."""
        return self.patient.site

    @property
    def vendor(self) -> str:
        """Key of the scanner in vendors.toml."""
        return self.patient.vendor

    @property
    def label(self) -> int:
        """1 malignant (intermediate included), 0 benign."""
        return self.patient.label

    @property
    def histology(self) -> str:
        """Name of the tumour type."""
        return self.patient.histology.name

    @property
    def intermediate(self) -> bool:
        """Whether the type is of intermediate dignity."""
        return self.patient.histology.intermediate

    @property
    def age(self) -> int:
        """Age in years."""
        return self.patient.age

    @property
    def sex(self) -> str:
        """F or M."""
        return self.patient.sex


def simulate_case(index: int, seed: int, site: int = 1) -> SimulatedCase:
    """Simulate one case; the same arguments give the same case, bit for bit.

    Args:
        index: number of the case within its site, 0 to 9999.
        seed: seed of the cohort, not negative.
        site: 1 (training hospital) or 2 (external hospital).

    Raises:
        SimulationError: for arguments out of these ranges.
    """
    if not 0 <= index <= 9999 or seed < 0:
        raise SimulationError("index must be 0 to 9999 and seed not negative")
    rng = np.random.default_rng([seed, site, index])
    patient = draw_patient(index, site, rng)
    console = set_console(vendors()[patient.vendor], rng)
    anatomy = build_anatomy(patient, rng)
    flow = colour_flow(anatomy, patient.latents.vascularity, rng)
    grid, distance = anatomy.shape.grid, anatomy.shape.distance
    window = open_window(console.vendor, grid, 0.0)
    moved = replace(window, shift=float(np.clip(rng.normal(0, 0.6), -2, 2)))
    still, flowing = View(window, window.show(distance)), View(moved, moved.show(distance))
    settings = f"{grid.depth_mm / 10:.1f}cm  G{rng.integers(45, 80)}  DR{console.dynamic_range:.0f}"
    freeze = bmode(anatomy, console, rng)
    calipers = still.distance < 0 if rng.random() < CALIPERS_LEFT_ON else None
    box = flow_box(moved, flowing.distance < 0)
    mask = window.on_screen(still.distance < 0)
    colour = colour_screen(
        moved,
        moved.show(bmode(anatomy, console, rng)) * np.float32(0.94),
        flow,
        box,
        patient.id,
        settings + "  CF 5.0MHz PRF 0.8kHz",
        rng,
    )
    impression = first_impression(patient.latents, rng)
    return SimulatedCase(
        seed=seed,
        index=index,
        patient=patient,
        grey=grey_screen(window, window.show(freeze), patient.id, settings, measured=calipers),
        colour=colour,
        mask=mask,
        colour_mask=moved.on_screen(flowing.distance < 0),
        readings=tuple(
            read_case(reader, still, flowing, flow.adler, impression, rng) for reader in READERS
        ),
        spacing_mm=window.spacing,
        grey_region=window.box,
        flow_region=box,
        diameter_mm=maximum_diameter(mask, window.spacing),
        adler=flow.adler,
        clip=_sweep(window, freeze, patient.id, settings) if index % CLIP_EVERY == 0 else None,
    )


def _sweep(window: Window, freeze: Field, case_id: str, settings: str) -> Picture:
    """The probe slides along the skin: tissue and its speckle move together."""
    frames = []
    for shift in np.linspace(-1.0, 1.0, CLIP_FRAMES):
        moved = replace(window, shift=float(shift))
        frames.append(grey_screen(moved, moved.show(freeze), case_id, settings))
    return np.stack(frames)


def second_look(case: SimulatedCase, reader: int) -> Reading:
    """The reader's contours of both stills two weeks later, for intra-reader agreement.

    What the reader reads in the images is not asked again: it is that of the first look.

    Raises:
        SimulationError: if there is no such reader.
    """
    if reader not in READERS:
        raise SimulationError(f"there are readers {READERS}, not {reader}")
    rng = np.random.default_rng([case.seed, case.site, case.index, SECOND_LOOK, reader])
    first = next(reading for reading in case.readings if reading.reader == reader)
    masks = [
        draw_contour(
            signed_distance(truth, (case.spacing_mm, case.spacing_mm)), case.spacing_mm, rng
        )
        for truth in (case.mask, case.colour_mask)
    ]
    return replace(first, mask=masks[0], colour_mask=masks[1])
