"""Neighbourhood grey tone difference features (IBSI 3.10; Amadasun and King 1989)."""

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

NAMES = ("Coarseness", "Contrast", "Busyness", "Complexity", "Strength")


@kernel
def tone_difference_features(
    pixels: NDArray[np.int64], difference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The 5 features.

    Args:
        pixels: (levels,) pixels of each level. pyradiomics counts pixels without any neighbour
            too, with a difference of 0.
        difference: (levels,) summed difference from the neighbourhood mean.

    Returns:
        (5,) in the order of `NAMES`; coarseness is 1e6 where no pixel differs from its
        neighbourhood, the other quotients by zero are 0.
    """
    n = 0.0
    present = 0
    total_difference = 0.0
    for i in range(pixels.size):
        n += pixels[i]
        present += pixels[i] > 0
        total_difference += difference[i]
    weighted = 0.0
    for i in range(pixels.size):
        weighted += pixels[i] / n * difference[i]
    contrast = spread = complexity = strength = 0.0
    for i in range(pixels.size):
        if pixels[i] == 0:
            continue
        p_i = pixels[i] / n
        for j in range(pixels.size):
            if pixels[j] == 0:
                continue
            p_j = pixels[j] / n
            apart = float(i - j)
            contrast += p_i * p_j * apart * apart
            spread += abs((i + 1) * p_i - (j + 1) * p_j)
            complexity += abs(apart) * (p_i * difference[i] + p_j * difference[j]) / (p_i + p_j)
            strength += (p_i + p_j) * apart * apart
    return np.array(
        [
            1.0 / weighted if weighted != 0.0 else 1e6,
            contrast * total_difference / n / (present * (present - 1)) if present > 1 else 0.0,
            weighted / spread if spread != 0.0 else 0.0,
            complexity / n,
            strength / total_difference if total_difference != 0.0 else 0.0,
        ]
    )
