"""Whether a device computes what the CPU does, on a case that is the same everywhere."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.backbone.device import CPU
from models.backbone.runner import WARM_SLICE, WARM_VOLUME, DeepRunner
from models.backbone.weights import Weights

#: Of the largest feature: sums in another order differ in the last bits of float32, and some
#: hundred times that after all layers.
TOLERANCE = 1e-3
_SEED = 20_260_501


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How far two devices are apart.

    Attributes:
        relative: largest difference of a feature over the largest feature.
        fallback_reason: why the device did not run; empty where it did.
    """

    relative: float
    fallback_reason: str = ""


def reference_crop(*, volume: bool) -> NDArray[np.float32]:
    """A crop of smoothed noise, the same on every machine: (1, 1, S, S) or (1, 1, D, S, S)."""
    shape = WARM_VOLUME if volume else WARM_SLICE
    noise = np.random.default_rng(_SEED).standard_normal(shape)
    smooth = (noise + np.roll(noise, 1, -1) + np.roll(noise, 1, -2)) / 3
    return smooth.astype(np.float32)


def disagreement(weights: Weights, device: str) -> Disagreement:
    """Run the reference crop on a device and on the CPU.

    Args:
        weights: what to run.
        device: "cuda:N", or "cpu" to compare the CPU with itself.
    """
    crop = reference_crop(volume=weights.architecture.volume)
    here = DeepRunner(weights, CPU).features(crop).features
    there = DeepRunner(weights, device).features(crop)
    scale = float(np.abs(here).max()) or 1.0
    relative = float(np.abs(there.features - here).max()) / scale
    return Disagreement(relative, there.fallback_reason)
