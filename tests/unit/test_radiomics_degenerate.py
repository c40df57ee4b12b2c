"""Lesions at the edge of what can be measured: the oracle's value or a named refusal."""

import math
from typing import Any

import numpy as np
import pytest
from radiomics.imageoperations import getBinEdges

from models.errors import ModelsError
from models.features.radiomics import (
    EmptyMaskError,
    MaskShapeError,
    MaskTooSmallError,
    NotFiniteError,
    RadiomicsSettings,
    RadiomicsSettingsError,
    SpacingError,
    TooManyGreyLevelsError,
    extract,
)
from models.features.radiomics.discretise import bin_edges
from models.features.radiomics.oracle import pyradiomics_features

FULL = RadiomicsSettings(feature_set="full851")
SPACING = (0.2, 0.3)


@pytest.fixture
def an_image() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (24, 31)).astype(float)


@pytest.fixture
def a_mask() -> np.ndarray:
    y, x = np.indices((24, 31))
    return (y - 11) ** 2 + (x - 14) ** 2 < 64


def _assert_equal(image: np.ndarray, mask: np.ndarray, **known: float) -> None:
    ours = extract(image, mask, SPACING, FULL)
    oracle = pyradiomics_features(image, mask, SPACING, FULL)
    for name, value in oracle.items():
        if name in known:
            assert ours[name] == pytest.approx(known[name], abs=1e-7)
            assert value == pytest.approx(known[name], abs=1e-7)
        else:
            assert ours[name] == pytest.approx(value, rel=1e-6, abs=1e-15, nan_ok=True), name


def test_a_flat_lesion_has_the_oracles_values(a_mask: np.ndarray) -> None:
    _assert_equal(np.full(a_mask.shape, 75.0), a_mask)


def test_a_black_lesion_has_the_oracles_values(a_mask: np.ndarray) -> None:
    _assert_equal(np.zeros(a_mask.shape), a_mask)


def test_a_lesion_with_holes_has_the_oracles_values(
    an_image: np.ndarray, a_mask: np.ndarray
) -> None:
    a_mask[8:12, 12:17] = False
    a_mask[14, 14] = False
    _assert_equal(an_image, a_mask)


@pytest.mark.parametrize("trim", [0, 1])
def test_a_lesion_that_fills_an_image_of_even_or_odd_sides_has_the_oracles_values(
    an_image: np.ndarray, trim: int
) -> None:
    image = an_image[: 24 - trim, : 30 + trim]
    _assert_equal(image, np.ones(image.shape, bool))


def test_a_lesion_in_two_parts_has_the_oracles_values(
    an_image: np.ndarray, a_mask: np.ndarray
) -> None:
    a_mask[:, 13:16] = False
    a_mask[0, 0] = True
    _assert_equal(an_image, a_mask)


def test_pixels_on_the_antidiagonal_have_the_oracles_doubled_triangles(
    an_image: np.ndarray,
) -> None:
    mask = np.zeros(an_image.shape, bool)
    mask[[5, 6, 7, 7], [9, 8, 7, 8]] = True
    _assert_equal(an_image, mask)


def test_pixels_on_one_diagonal_have_no_minor_axis(an_image: np.ndarray) -> None:
    mask = np.zeros(an_image.shape, bool)
    mask[[4, 5, 6, 7], [4, 5, 6, 7]] = True
    _assert_equal(an_image, mask, original_shape_MinorAxisLength=0.0, original_shape_Elongation=0.0)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_pixels_without_a_neighbour_have_no_texture_of_pairs_or_runs_as_in_the_oracle(
    an_image: np.ndarray,
) -> None:
    mask = np.zeros(an_image.shape, bool)
    mask[3, 4] = mask[8, 20] = True
    ours = extract(an_image, mask, SPACING, FULL)
    oracle = pyradiomics_features(an_image, mask, SPACING, FULL)
    nan = {name for name, value in oracle.items() if math.isnan(value)}
    assert "original_glcm_Contrast" in nan
    assert "original_glrlm_RunEntropy" in nan
    assert {name for name, value in ours.items() if math.isnan(value)} == nan


def test_a_uint8_image_does_not_overflow(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    as_bytes = extract(an_image.astype(np.uint8), a_mask, SPACING)
    assert as_bytes == extract(an_image, a_mask, SPACING)


def test_an_empty_mask_is_refused(an_image: np.ndarray) -> None:
    with pytest.raises(EmptyMaskError):
        extract(an_image, np.zeros(an_image.shape, bool), SPACING)


@pytest.mark.parametrize("spot", [np.s_[3:4, 5:6], np.s_[3:4, 5:12], np.s_[3:9, 5:6]])
def test_a_mask_of_one_pixel_row_or_column_is_refused_as_the_oracle_refuses_it(
    an_image: np.ndarray, spot: tuple[slice, slice]
) -> None:
    mask = np.zeros(an_image.shape, bool)
    mask[spot] = True
    with pytest.raises(MaskTooSmallError):
        extract(an_image, mask, SPACING)
    with pytest.raises(ValueError, match="mask"):
        pyradiomics_features(an_image, mask, SPACING, FULL)


def test_a_mask_of_another_shape_is_refused(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    with pytest.raises(MaskShapeError):
        extract(an_image, a_mask[:, 1:], SPACING)


def test_a_volume_or_a_complex_image_is_refused(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    with pytest.raises(MaskShapeError):
        extract(an_image[None], a_mask[None], SPACING)
    with pytest.raises(MaskShapeError):
        extract(an_image * 1j, a_mask, SPACING)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e13])
def test_a_value_that_is_no_grey_value_is_refused_beside_the_lesion_too(
    an_image: np.ndarray, a_mask: np.ndarray, value: float
) -> None:
    an_image[2, 14] = value  # two rows above: within reach of the wavelet
    with pytest.raises(NotFiniteError):
        extract(an_image, a_mask, SPACING)


def test_a_nan_out_of_reach_changes_nothing(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    before = extract(an_image, a_mask, SPACING, FULL)
    an_image[0, 0] = np.nan
    assert extract(an_image, a_mask, SPACING, FULL) == before


def test_over_256_grey_levels_are_refused(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    with pytest.raises(TooManyGreyLevelsError, match="256"):
        extract(an_image * 50, a_mask, SPACING)


def test_256_grey_levels_are_measured(an_image: np.ndarray, a_mask: np.ndarray) -> None:
    an_image[11, 14], an_image[11, 15] = 0.0, 255.0
    found = extract(an_image, a_mask, SPACING, RadiomicsSettings(bin_width=12.5))
    assert all(math.isfinite(value) for value in found.values())
    assert len(bin_edges(0.0, 255.0, 1.0)) >= 257
    with pytest.raises(TooManyGreyLevelsError):
        bin_edges(0.0, 256.0, 1.0)


def test_bins_narrower_than_the_rounding_of_the_values_are_refused(a_mask: np.ndarray) -> None:
    with pytest.raises(TooManyGreyLevelsError, match="rounding"):
        extract(np.full(a_mask.shape, 1e12), a_mask, SPACING, RadiomicsSettings(bin_width=1e-5))


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, -1.0), (np.nan, 1.0), (np.inf, 1.0)])
def test_a_spacing_that_is_no_length_is_refused(
    an_image: np.ndarray, a_mask: np.ndarray, spacing: tuple[float, float]
) -> None:
    with pytest.raises(SpacingError):
        extract(an_image, a_mask, spacing)


@pytest.mark.parametrize("values", [(30.1, 255.0), (-1e-15, 12.0), (25.0, 25.0), (-61.7, 18.2)])
def test_the_bin_edges_are_the_oracles(values: tuple[float, float]) -> None:
    assert np.array_equal(bin_edges(*values, 25.0), getBinEdges(list(values), binWidth=25.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"bin_width": 0.0},
        {"bin_width": math.nan},
        {"bin_width": "25"},
        {"wavelet": "haar"},
        {"feature_set": "all"},
        {"engine": "other"},
        {"binwidth": 25.0},
    ],
)
def test_settings_the_extractor_does_not_have_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RadiomicsSettingsError):
        RadiomicsSettings.from_dict(wrong)


def test_a_refusal_is_an_error_of_the_models() -> None:
    assert issubclass(EmptyMaskError, ModelsError)
    assert issubclass(RadiomicsSettingsError, ModelsError)
