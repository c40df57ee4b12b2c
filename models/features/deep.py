"""From a lesion to its deep features: the crop the backbone sees, and the call.

The crop is fitted to the lesion: the longest side of its bounding box, with a margin, fills the
square. Every lesion is then whole and as finely sampled as any other, the crop needs no millimetres
(so it is the same with and without calibration), and size is left to the features that measure it
(`clinical_size`, the radiomics shape family). The image must have square pixels, as the resampled
one has.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from models.backbone.errors import DeepInputError
from models.backbone.result import DeepResult, FeatureRunner

Normalisation = Literal["region_zscore", "fixed"]

SCALING = "fit-to-lesion"
SMALLEST_SIZE = 32  # the backbone halves five times
FLAT = 1e-6  # grey levels: what varies less is rounding, not tissue
GREY_MIDDLE, GREY_SCALE = 128.0, 64.0  # "fixed": 8-bit grey to about -2..2


@dataclass(frozen=True, slots=True)
class DeepSettings:
    """How a crop is made; part of a bundle, alike in training and serving.

    Attributes:
        size: rows and columns of the crop.
        margin: tissue kept around the lesion, as a fraction of its longest side.
        masked: True sets all beyond the lesion and its margin to zero (paper section 2.6,
            "masking to remove non-interest areas"); the margin stays, for the boundary is of
            interest.
        normalisation: "region_zscore" by mean and standard deviation of what is kept, or "fixed"
            (grey - 128) / 64.

    Raises:
        DeepInputError: a value lies outside what a crop can be made with.
    """

    size: int = 96
    margin: float = 0.1
    masked: bool = True
    normalisation: Normalisation = "region_zscore"

    def __post_init__(self) -> None:
        if self.size < SMALLEST_SIZE:
            raise DeepInputError(f"a deep crop has at least {SMALLEST_SIZE} rows, not {self.size}")
        if not 0.0 <= self.margin <= 1.0:
            raise DeepInputError(f"the margin of a deep crop is 0 to 1, not {self.margin}")
        if self.normalisation not in ("region_zscore", "fixed"):
            raise DeepInputError(f"unknown normalisation {self.normalisation!r}")

    def to_dict(self) -> dict[str, object]:
        """The settings as JSON values, with the scaling rule by name."""
        return {**asdict(self), "scaling": SCALING}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The settings of a dictionary written by `to_dict`.

        Raises:
            DeepInputError: a key is missing or unknown, or the scaling is another one.
        """
        if set(values) != {*cls.__dataclass_fields__, "scaling"}:
            raise DeepInputError(f"deep settings with wrong keys: {', '.join(sorted(values))}")
        if values["scaling"] != SCALING:
            raise DeepInputError(f"deep crops are {SCALING}, not {values['scaling']!r}")
        return cls(
            size=int(cast("int", values["size"])),
            margin=float(cast("float", values["margin"])),
            masked=values["masked"] is True,
            normalisation=cast("Normalisation", values["normalisation"]),
        )

    @property
    def sha256(self) -> str:
        """Hash of the settings, to be kept with every feature table."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def prepare_crop(
    image: NDArray[np.float64], mask: NDArray[np.bool_], settings: DeepSettings
) -> NDArray[np.float32]:
    """The crop of one lesion.

    Args:
        image: `(rows, cols)` grey levels with square pixels.
        mask: `(rows, cols)`, True in the lesion.
        settings: how the crop is made.

    Returns:
        `(1, 1, size, size)` float32.

    Raises:
        DeepInputError: shapes differ, the mask is empty or a grey level is not finite.
    """
    if image.ndim != 2 or image.shape != mask.shape:
        raise DeepInputError(f"image {image.shape} and mask {mask.shape} must be one 2D shape")
    inside = mask.astype(bool)
    if not inside.any():
        raise DeepInputError("the mask is empty")
    boxes = [_extent(np.flatnonzero(inside.sum(axis=axis))) for axis in (1, 0)]
    longest = max(stop - start for start, stop in boxes)
    side = longest * (1.0 + 2.0 * settings.margin)
    starts = [(start + stop - side) / 2.0 for start, stop in boxes]
    (row_weights, row_valid), (col_weights, col_valid) = (
        _triangle_weights(length, start, side, settings.size)
        for length, start in zip(image.shape, starts, strict=True)
    )
    grey = _apply(row_weights, image.astype(np.float64), col_weights)
    if not np.isfinite(grey).all():
        raise DeepInputError("the lesion holds a grey level that is not a finite number")
    coverage = _apply(row_weights, inside.astype(np.float64), col_weights)
    kept = row_valid[:, None] & col_valid[None, :]
    if settings.masked:
        kept &= _grown(coverage, settings.margin * longest * settings.size / side)
    crop = np.zeros((1, 1, settings.size, settings.size), np.float32)
    crop[0, 0][kept] = _normalised(grey, kept, settings)[kept]
    return crop


def deep_result(
    image: NDArray[np.float64],
    mask: NDArray[np.bool_],
    runner: FeatureRunner,
    settings: DeepSettings,
) -> DeepResult:
    """Deep features of one lesion with the device that ran and any reason for a fallback.

    Args:
        image: `(rows, cols)` grey levels with square pixels.
        mask: `(rows, cols)`, True in the lesion.
        runner: a warm backbone.
        settings: how the crop is made.

    Returns:
        a result of one row.

    Raises:
        DeepInputError: the crop cannot be made.
        DeadlineExceededError: the backbone took too long.
    """
    return runner.features(prepare_crop(image, mask, settings))


def deep_features(
    image: NDArray[np.float64],
    mask: NDArray[np.bool_],
    runner: FeatureRunner,
    settings: DeepSettings,
) -> NDArray[np.float32]:
    """Deep features of one lesion, `(512,)` float32; arguments and errors as `deep_result`."""
    features: NDArray[np.float32] = deep_result(image, mask, runner, settings).features[0]
    return features


def feature_names(count: int) -> tuple[str, ...]:
    """Names of the deep features in a table: `dl_000`, `dl_001`, ..."""
    return tuple(f"dl_{index:03d}" for index in range(count))


def _extent(places: NDArray[np.intp]) -> tuple[int, int]:
    return int(places[0]), int(places[-1]) + 1


def _triangle_weights(
    length: int, start: float, side: float, size: int
) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
    """Linear resampling along one axis, widened to the output's pixel where it shrinks.

    Sparse and not a dense product: the sum's order is fixed, whatever a BLAS would choose.

    Args:
        length: input pixels along the axis.
        start: where the crop begins, in input pixels from the outer edge of the first.
        side: length of the crop in input pixels.
        size: output pixels.

    Returns:
        weights `(size, length)` whose rows sum to one, and which output centres lie on the input.
    """
    scale = side / size
    reach = max(scale, 1.0)
    centres = start + (np.arange(size) + 0.5) * scale
    first = np.floor(centres - reach - 0.5).astype(np.int64)
    taps = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)[None, :]
    weights = np.maximum(0.0, 1.0 - np.abs(taps + 0.5 - centres[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(size), taps.shape[1])
    columns = np.clip(taps, 0, length - 1).ravel()  # beyond the image: its edge, masked later
    matrix = sparse.csr_matrix((weights.ravel(), (rows, columns)), shape=(size, length))
    return matrix, (centres >= 0.0) & (centres <= length)


def _apply(
    row_weights: sparse.csr_matrix, image: NDArray[np.float64], col_weights: sparse.csr_matrix
) -> NDArray[np.float64]:
    resampled: NDArray[np.float64] = (col_weights @ (row_weights @ image).T).T
    return resampled


def _grown(coverage: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """The lesion and all within `radius` output pixels of it.

    Half of the best coverage and not half a pixel: a lesion thinner than an output pixel stays.
    """
    lesion = coverage >= 0.5 * coverage.max()
    distance = ndimage.distance_transform_edt(~lesion)
    return np.asarray(distance <= radius)


def _normalised(
    grey: NDArray[np.float64], kept: NDArray[np.bool_], settings: DeepSettings
) -> NDArray[np.float64]:
    if settings.normalisation == "fixed":
        return (grey - GREY_MIDDLE) / GREY_SCALE
    values = grey[kept]
    mean, deviation = float(values.mean()), float(values.std())
    return (grey - mean) / (deviation if deviation > FLAT else 1.0)
