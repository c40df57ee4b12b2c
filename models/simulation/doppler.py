"""Colour flow: vessels of the tumour, graded as Adler did (0 none to 3 marked)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.simulation.anatomy import Anatomy
from models.simulation.lesion_shape import Grid
from models.simulation.random_fields import Field, resized, smooth_field

FLOW_MM = 0.22
"""Spacing of the colour-flow samples, coarser than the grey image's as on a real scanner."""

# grade: (fewest vessels, most vessels, mean length in samples / 2)
VESSELS = {0: (0, 0, 0.0), 1: (1, 2, 3.0), 2: (2, 4, 6.0), 3: (6, 11, 9.0)}


@dataclass(frozen=True, slots=True)
class Flow:
    """Colour flow on its own coarse grid over the anatomy.

    Attributes:
        adler: grade 0-3 (Adler et al. 1990).
        power: signal 0-1.
        velocity: -1 (away from the probe) to 1 (towards it).
    """

    adler: int
    power: Field
    velocity: Field

    def __post_init__(self) -> None:
        if self.adler not in VESSELS:
            raise ValueError(f"an Adler grade is 0 to 3, not {self.adler}")


def _grade(vascularity: float, rng: np.random.Generator) -> int:
    chance = expit((vascularity - 0.25) * 1.25) + 0.10 * rng.standard_normal()
    return int(np.digitize(chance, [0.27, 0.52, 0.74]))


class _Canvas:
    """Power and velocity while vessels are being drawn; the brighter vessel wins."""

    def __init__(self, grid: Grid) -> None:
        shape = (round(grid.depth_mm / FLOW_MM), round(grid.shape[1] * 0.14 / FLOW_MM))
        self.power: Field = np.zeros(shape, dtype=np.float32)
        self.velocity: Field = np.zeros(shape, dtype=np.float32)

    def holds(self, row: float, column: float) -> bool:
        rows, columns = self.power.shape
        return bool(2 < row < rows - 3 and 2 < column < columns - 3)

    def stamp(self, row: float, column: float, radius: float, velocity: float) -> None:
        """One round sample volume of flow."""
        top, left = max(0, int(row) - 4), max(0, int(column) - 4)
        window = np.s_[top : int(row) + 5, left : int(column) + 5]
        power = self.power[window]
        rows = np.arange(top, top + power.shape[0])[:, None] - row
        columns = np.arange(left, left + power.shape[1])[None, :] - column
        signal = np.exp(-(rows**2 + columns**2) / radius**2)
        stronger = signal > power
        self.velocity[window][stronger] = (velocity * (0.25 + 0.75 * signal))[stronger]
        power[stronger] = signal[stronger]


def _grow_vessel(
    canvas: _Canvas,
    distance: Field,
    start: NDArray[np.float64],
    heading: float,
    steps: int,
    rng: np.random.Generator,
    *,
    branching: bool,
) -> None:
    """A tortuous vessel from `start`, in flow samples, that stays in or at the tumour."""
    row, column = start
    radius = rng.uniform(1.3, 2.2)
    direction = rng.choice([-1.0, 1.0])
    for step in range(steps):
        if not canvas.holds(row, column) or distance[int(row), int(column)] > 1.2:
            return
        towards = direction if np.sin(heading) > -0.2 else -direction
        canvas.stamp(row, column, radius, towards * (0.45 + 0.55 * abs(np.sin(heading))))
        heading += rng.normal(0, 0.38)
        if branching and step > 2 and rng.random() < 0.06:
            heading += rng.choice([-0.8, 0.8])
        row, column = row + np.sin(heading), column + np.cos(heading)


def _neighbour_vessel(canvas: _Canvas, distance: Field, rng: np.random.Generator) -> None:
    """A normal vessel outside the tumour: it is no part of the grade."""
    outside = np.argwhere(distance > 3)
    if outside.size == 0:
        return
    row, column = outside[rng.integers(len(outside))].astype(float)
    velocity = 0.7 * rng.choice([-1.0, 1.0])
    tilt = rng.normal(0, 0.25)
    for step in np.arange(-4.0, 5.0):
        if canvas.holds(row + tilt * step, column + step):
            canvas.stamp(row + tilt * step, column + step, 1.6, velocity)


def colour_flow(anatomy: Anatomy, vascularity: float, rng: np.random.Generator) -> Flow:
    """Draw the tumour's vessels for a vascularity latent."""
    shape = anatomy.shape
    adler = _grade(vascularity, rng)
    fewest, most, length = VESSELS[adler]
    canvas = _Canvas(shape.grid)
    distance = resized(shape.distance, (canvas.power.shape[0], canvas.power.shape[1]))
    inside = np.argwhere((distance < 0) & (distance > -max(0.6, shape.half_height * 0.95)))
    rim = inside[distance[tuple(inside.T)] > -shape.half_height * 0.45]
    centre = np.array(np.unravel_index(int(np.argmin(distance)), distance.shape))
    for _ in range(int(rng.integers(fewest, most + 1))):
        pool = rim if rim.size and rng.random() < 0.6 else inside
        start = pool[rng.integers(len(pool))].astype(float)
        inwards = np.arctan2(*(centre - start)) + rng.normal(0, 0.8)
        steps = int(rng.gamma(2.0, length)) + 3
        _grow_vessel(canvas, distance, start, inwards, steps, rng, branching=adler > 1)
    if rng.random() < 0.25:
        _neighbour_vessel(canvas, distance, rng)
    flicker = 0.22 * smooth_field(canvas.power.shape, (0.9, 1.2), rng)
    power = np.clip(canvas.power + flicker * (canvas.power > 0.08), 0, 1)
    return Flow(adler=adler, power=np.asarray(power, np.float32), velocity=canvas.velocity)
