"""Smooth random fields and lines: the raw material of simulated tissue."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Field: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]


def resized(
    field: Field, shape: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Field:
    """Bicubic resampling of a 2D field.

    Args:
        field: float32, (rows, columns).
        shape: wanted (rows, columns).
        box: part of the field to show, (left, top, right, bottom) in its pixels; whole if None.

    Returns:
        float32 of the wanted shape.
    """
    picture = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    size = (shape[1], shape[0])
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=box), dtype=np.float32)


def smooth_field(
    shape: tuple[int, int], scale: tuple[float, float], rng: np.random.Generator
) -> Field:
    """A zero-mean, unit-variance random field with a Gaussian correlation.

    Wide fields are filtered on a coarse grid (2.5 samples a standard deviation) and enlarged.

    Args:
        shape: (rows, columns).
        scale: standard deviation of the smoothing kernel, (rows, columns), in samples.
        rng: source of randomness.

    Returns:
        float32 of the shape.
    """
    pitch = [max(1, int(sigma / 2.5)) for sigma in scale]
    coarse = [-(-size // step) + 4 for size, step in zip(shape, pitch, strict=True)]
    noise = rng.standard_normal(coarse, dtype=np.float32)
    sigma = [s / step for s, step in zip(scale, pitch, strict=True)]
    field = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=3.0)
    if max(pitch) > 1:
        field = resized(field, (coarse[0] * pitch[0], coarse[1] * pitch[1]))
    field = field[: shape[0], : shape[1]]
    field = (field - field.mean()) / (field.std() + 1e-6)
    return np.asarray(field, dtype=np.float32)


def smooth_line(length: int, scale: float, rng: np.random.Generator) -> Field:
    """A unit-variance smooth random line of `length` samples; `scale` as in smooth_field."""
    pad = 4 * int(scale) + 4
    noise = rng.standard_normal(length + 2 * pad)
    line = ndimage.gaussian_filter1d(noise, scale)
    # the kernel's own gain, so that a line shorter than its scale stays nearly straight
    gain = np.sqrt(2.0 * np.sqrt(np.pi) * scale)
    return np.asarray(line[pad : pad + length] * gain, dtype=np.float32)


def ridge(field: Field, width: float) -> Field:
    """Thin sheets along the field's zero crossings: 1 on the sheet, 0 away from it."""
    return np.asarray(np.exp(-((field / width) ** 2)), dtype=np.float32)
