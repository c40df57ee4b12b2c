"""Compile every kernel into the on-disk cache: `python -m models.features.radiomics.warmup`.

Run at installation (`make setup`), so that a worker's first case is not some seconds late.
"""

import numpy as np

from models.features.radiomics.extract import extract
from models.features.radiomics.settings import RadiomicsSettings


def compile_kernels() -> None:
    """Run the extractor once on a lesion that reaches every kernel with its production types."""
    y, x = np.indices((24, 24))
    image = (7 * y * y + 13 * x) % 200
    mask = (y - 12) ** 2 + (x - 12) ** 2 < 81
    extract(image, mask, (0.2, 0.2), RadiomicsSettings(feature_set="full851"))


if __name__ == "__main__":
    compile_kernels()
