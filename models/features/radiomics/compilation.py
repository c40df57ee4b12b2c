"""Compile every kernel before the first case, into numba's on-disk cache."""

import numpy as np

from models.features.radiomics.extract import extract
from models.features.radiomics.settings import RadiomicsSettings


def compile_kernels() -> None:
    """Run the extractor once on a lesion that reaches every kernel with its production types."""
    y, x = np.indices((24, 24))
    image = (7 * y * y + 13 * x) % 200
    mask = (y - 12) ** 2 + (x - 12) ** 2 < 81
    extract(image, mask, (0.2, 0.2), RadiomicsSettings(feature_set="full851"))
