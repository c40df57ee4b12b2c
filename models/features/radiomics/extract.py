"""The radiomics of one lesion on one slice: every room called once, in order."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.features.radiomics import firstorder, glcm, lengths, ngtdm
from models.features.radiomics.discretise import bin_edges, grey_levels
from models.features.radiomics.names import names_of
from models.features.radiomics.neighbours import count_neighbours, shared_lines
from models.features.radiomics.region import Region
from models.features.radiomics.settings import RadiomicsSettings
from models.features.radiomics.shape import shape_features
from models.features.radiomics.wavelet import (
    HIGH,
    LOW,
    PLANE_BANDS,
    across_slice,
    band_values,
)
from models.features.radiomics.zones import count_zones

DEFAULT = RadiomicsSettings()

Image = tuple[str, NDArray[np.float64]]
"""Name of an image and its values inside the lesion, row by row."""

Features = Iterable[tuple[str, float]]
"""Features by name."""


def _images(
    region: Region, inside: NDArray[np.bool_], settings: RadiomicsSettings
) -> Iterator[Image]:
    """The images the settings ask for, at the pixels of the bounding box that are `inside`."""
    yield "original", region.original[inside]
    planes = band_values(region.block, inside, region.x_order, region.y_order, LOW, HIGH)
    for name, plane in zip(PLANE_BANDS, planes, strict=True):
        yield f"wavelet-{name}L", across_slice(plane, LOW)
        if settings.feature_set == "full851":
            yield f"wavelet-{name}H", across_slice(plane, HIGH)


def images_of(region: Region, settings: RadiomicsSettings) -> dict[str, NDArray[np.float64]]:
    """Every image of the lesion's bounding box by name, for those who measure them elsewhere.

    Args:
        region: the validated lesion.
        settings: which bands.

    Returns:
        (height, width) pixel values of the original and of each wavelet band.
    """
    everywhere = np.ones_like(region.mask)
    images = _images(region, everywhere, settings)
    return {name: values.reshape(everywhere.shape) for name, values in images}


@lru_cache(maxsize=16)
def _feature_names(image: str) -> tuple[str, ...]:
    """What `_measure` answers for an image, in its order; "" for what has no name."""
    families = (
        ("firstorder", firstorder.NAMES),
        ("glcm", (*glcm.NAMES, "MCC")),
        ("glrlm", lengths.RUN_NAMES),
        ("glszm", lengths.ZONE_NAMES),
        ("gldm", lengths.DEPENDENCE_NAMES),
        ("ngtdm", ngtdm.NAMES),
    )
    return tuple(f"{image}_{f}_{name}" if name else "" for f, names in families for name in names)


def _measure(
    values: NDArray[np.float64],
    mask: NDArray[np.bool_],
    directions: NDArray[np.bool_],
    pixel_volume: float,
    bin_width: float,
) -> list[float]:
    """First-order and texture features of one image, in the order of `_feature_names`."""
    order = firstorder.quantiles(values)
    edges = bin_edges(float(order[0]), float(order[-1]), bin_width)
    levels, n_levels = grey_levels(values, mask, edges)
    pairs, runs, dependences, pixels, difference = count_neighbours(levels, n_levels)
    cooccurrence, q = glcm.cooccurrence_features(pairs)
    return [
        *firstorder.first_order_features(values, order, pixels, pixel_volume).tolist(),
        *cooccurrence.tolist(),
        glcm.maximal_correlation(q, pixels),
        *lengths.run_features(runs, directions).tolist(),
        *lengths.length_features(*count_zones(levels)).tolist(),
        *lengths.matrix_features(dependences).tolist(),
        *ngtdm.tone_difference_features(pixels, difference).tolist(),
    ]


def _fused(region: Region, settings: RadiomicsSettings, threads: int) -> dict[str, float]:
    mask = region.mask
    directions = shared_lines(mask)
    pixel_volume = float(np.prod(region.spacing_3d))

    def measure(image: Image) -> Features:
        name, values = image
        found = _measure(values, mask, directions, pixel_volume, settings.bin_width)
        return zip(_feature_names(name), found, strict=True)

    shape = shape_features(mask, region.spacing_3d)
    features = {f"original_shape_{name}": value for name, value in shape.items()}
    for found in _map(measure, _images(region, mask, settings), threads):
        features.update(found)
    return features


def _map(
    measure: Callable[[Image], Features], images: Iterator[Image], threads: int
) -> Iterable[Features]:
    if threads == 1:
        return map(measure, images)
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(measure, images))


def extract(
    image: ArrayLike,
    mask: ArrayLike,
    spacing: tuple[float, float],
    settings: RadiomicsSettings = DEFAULT,
    *,
    threads: int = 1,
) -> dict[str, float]:
    """Measure one lesion on one slice.

    Equal to pyradiomics 3.1.4 on the float64 image with spacing (column, row, 1.0), 3D defaults,
    to a relative 1e-6. A feature is NaN where pyradiomics gives NaN: run length and co-occurrence
    features of a lesion in which no two pixels share a line or touch.

    Args:
        image: (rows, columns) of any real type; it is converted to float64 first.
        mask: (rows, columns), true or nonzero inside the lesion.
        spacing: distance between rows and between columns, mm.
        settings: feature set, bin width, engine.
        threads: threads over the bands of this one lesion; for many lesions see `extract_many`.

    Returns:
        Values by pyradiomics' names, in its order.

    Raises:
        RadiomicsRefusal: the lesion cannot be measured; the subclass says why.
    """
    region = Region.of(image, mask, spacing)
    if settings.engine == "pyradiomics":
        # SimpleITK takes a second to import: only who asks for it pays
        from models.features.radiomics.oracle import engine  # noqa: PLC0415

        found = engine(region, settings)
    else:
        found = _fused(region, settings, threads)
    return {name: found[name] for name in names_of(settings.feature_set)}
