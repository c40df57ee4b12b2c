"""The radiomics of one lesion on one slice: every room called once, in order."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

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
    plane_bands,
)
from models.features.radiomics.zones import count_zones

DEFAULT = RadiomicsSettings()

Band = tuple[str, NDArray[np.float64], NDArray[np.float64] | None]


def _bands(region: Region, settings: RadiomicsSettings) -> Iterator[Band]:
    """Name, plane and filter across the slice of each image the settings ask for."""
    yield "original", np.ascontiguousarray(region.original), None
    planes = plane_bands(region.block, region.x_order, region.y_order, LOW, HIGH)
    for name, plane in zip(PLANE_BANDS, planes, strict=True):
        yield f"wavelet-{name}L", plane, LOW
        if settings.feature_set == "full851":
            yield f"wavelet-{name}H", plane, HIGH


def images_of(region: Region, settings: RadiomicsSettings) -> dict[str, NDArray[np.float64]]:
    """Every image of the lesion's bounding box by name, for those who measure them elsewhere.

    Args:
        region: the validated lesion.
        settings: which bands.

    Returns:
        (height, width) pixel values of the original and of each wavelet band.
    """
    return {
        name: plane if across is None else across_slice(plane.ravel(), across).reshape(plane.shape)
        for name, plane, across in _bands(region, settings)
    }


def _run_length_features(
    runs: NDArray[np.int64], directions: NDArray[np.bool_]
) -> NDArray[np.float64]:
    if not directions.any():
        return np.full(lengths.N_FEATURES, np.nan)
    found = [lengths.length_features(*lengths.sparse(runs[a])) for a in np.flatnonzero(directions)]
    mean: NDArray[np.float64] = np.mean(found, axis=0)
    return mean


def _band_features(
    values: NDArray[np.float64],
    place: NDArray[np.int64],
    directions: NDArray[np.bool_],
    shape: tuple[int, int],
    pixel_volume: float,
    bin_width: float,
) -> dict[str, float]:
    """First-order and texture features of one image, by `class_Name`."""
    order = firstorder.quantiles(values)
    edges = bin_edges(float(order[0]), float(order[-1]), bin_width)
    levels = np.zeros((shape[0] + 2, shape[1] + 2), np.int32)
    n_levels = grey_levels(values, place, edges, levels)
    pairs, runs, dependences, pixels, difference = count_neighbours(levels, n_levels)
    first = firstorder.first_order_features(values, order, pixels, pixel_volume)
    cooccurrence, q = glcm.cooccurrence_features(pairs)
    run = _run_length_features(runs, directions)
    zone = lengths.length_features(*count_zones(levels))
    dependence = lengths.length_features(*lengths.sparse(dependences))
    tone = ngtdm.tone_difference_features(pixels, difference)
    found = {"glcm_MCC": glcm.maximal_correlation(q, pixels)}
    for family, names, numbers in (
        ("firstorder", firstorder.NAMES, first),
        ("glcm", glcm.NAMES, cooccurrence),
        ("glrlm", lengths.RUN_NAMES, run),
        ("glszm", lengths.ZONE_NAMES, zone),
        ("gldm", lengths.DEPENDENCE_NAMES, dependence),
        ("ngtdm", ngtdm.NAMES, tone),
    ):
        found |= {f"{family}_{n}": v for n, v in zip(names, numbers.tolist(), strict=True) if n}
    return found


def _fused(region: Region, settings: RadiomicsSettings, threads: int) -> dict[str, float]:
    mask = region.mask
    inside = np.flatnonzero(mask)
    width = mask.shape[1]
    # the level plane has a rim of one pixel
    place = inside + 2 * (inside // width) + width + 3
    directions = shared_lines(mask)
    pixel_volume = float(np.prod(region.spacing_3d))

    def measure(band: Band) -> dict[str, float]:
        name, plane, across = band
        values = plane.ravel()[inside]
        if across is not None:
            values = across_slice(values, across)
        found = _band_features(
            values, place, directions, mask.shape, pixel_volume, settings.bin_width
        )
        return {f"{name}_{feature}": value for feature, value in found.items()}

    features = {
        f"original_shape_{name}": value
        for name, value in shape_features(mask, region.spacing_3d).items()
    }
    for found in _map(measure, _bands(region, settings), threads):
        features |= found
    return features


def _map(
    measure: Callable[[Band], dict[str, float]], bands: Iterator[Band], threads: int
) -> list[dict[str, float]]:
    if threads == 1:
        return [measure(band) for band in bands]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(measure, bands))


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
