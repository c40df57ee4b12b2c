"""From echo levels to a B-mode picture: interference, compounding, log compression.

Scatterers are complex Gaussian noise under a separable point-spread function whose lateral
width grows away from the focus; independent looks are averaged in power (spatial compounding);
the envelope is compressed to the scanner's dynamic range.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models.simulation.anatomy import Anatomy
from models.simulation.lesion_shape import AXIAL_MM, LATERAL_MM
from models.simulation.random_fields import Field
from models.simulation.settings import Vendor

MIDDLE_GREY = 0.50
KNEE = 0.86
"""Above this the display bends over softly instead of clipping."""


@dataclass(frozen=True, slots=True)
class Console:
    """The scanner as set for one examination: dynamic range in dB, tone exponent, gain in dB."""

    vendor: Vendor
    dynamic_range: float
    tone: float
    gain: float


def set_console(vendor: Vendor, rng: np.random.Generator) -> Console:
    """Draw the operator's settings around the scanner's presets."""
    return Console(
        vendor=vendor,
        dynamic_range=float(vendor.dynamic_range + rng.integers(-3, 4)),
        tone=float(vendor.tone * rng.uniform(0.93, 1.07)),
        gain=float(rng.normal(0, 1.2)),
    )


def _look(
    amplitude: Field, sheet: Field, spread: Field, vendor: Vendor, rng: np.random.Generator
) -> Field:
    """Power of one look; `spread` 0-1 blends from the focused to the widened beam."""
    sigma = vendor.lateral / LATERAL_MM
    power = np.zeros_like(amplitude)
    for part in range(2):
        scatter = rng.standard_normal(amplitude.shape, dtype=np.float32) * amplitude
        axial = ndimage.gaussian_filter1d(scatter, vendor.axial / AXIAL_MM, axis=0, truncate=3.0)
        focused = ndimage.gaussian_filter1d(axial, sigma, axis=1, truncate=3.0) * np.sqrt(sigma)
        widened = ndimage.gaussian_filter1d(axial, 2 * sigma, axis=1, truncate=3.0)
        field = focused + spread * (widened * np.sqrt(2 * sigma) - focused)
        # unit mean power: the kernel's gain is 1 / (4 pi sx sz), 2 parts
        field = field * np.sqrt(2 * np.pi * vendor.axial / AXIAL_MM)
        if part == 0:
            field = field + 1.1 * amplitude * sheet
        power += field**2
    return power


def bmode(anatomy: Anatomy, console: Console, rng: np.random.Generator) -> Field:
    """Draw one B-mode picture of the slice.

    Args:
        anatomy: the slice.
        console: the scanner's settings.
        rng: source of randomness; another draw gives the next, decorrelated freeze.

    Returns:
        float32 display values 0-1 on the anatomy's grid.
    """
    vendor, grid = console.vendor, anatomy.shape.grid
    amplitude = np.asarray(10 ** (anatomy.echo / 20), dtype=np.float32)
    focus = np.clip(anatomy.shape.depth, 8, 30)
    spread = np.clip(np.abs(grid.z - focus) / 18, 0, 1).astype(np.float32)
    looks = [_look(amplitude, anatomy.sheet, spread, vendor, rng) for _ in range(vendor.looks)]
    power = sum(looks[1:], looks[0]) / vendor.looks
    # electronic noise rises with depth as the gain does
    floor_db = -34 + 16 * (grid.z / grid.depth_mm) ** 2
    noise = ndimage.gaussian_filter(rng.standard_normal(power.shape, dtype=np.float32), (1.6, 1.2))
    power = power + 10 ** (floor_db / 10) * np.exp(2.0 * noise)
    return _display(10 * np.log10(power + 1e-9) + console.gain, console)


def _display(decibels: Field, console: Console) -> Field:
    """Speckle-reduction filter, dynamic range, tone curve and soft ends."""
    smooth = ndimage.gaussian_filter(decibels, (2.4, 1.5), truncate=3.0)
    weight = console.vendor.smoothing
    decibels = decibels + weight * (smooth - decibels)
    value = MIDDLE_GREY + decibels / console.dynamic_range
    # softplus-like foot and tanh-like shoulder: no clipped black, no clipped white
    foot = 0.06
    value = foot * np.logaddexp(0, value / foot)
    span = 1 - KNEE
    value = np.where(value > KNEE, KNEE + span * np.tanh((value - KNEE) / span), value)
    return np.asarray(value**console.tone, dtype=np.float32)
