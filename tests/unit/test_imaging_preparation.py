from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.imaging.boxes import Box
from models.imaging.errors import EmptyMaskError, MaskOutsideImageError, MaskTooSmallError
from models.imaging.flow_header import FlowHeader
from models.imaging.geometry import PixelGeometry
from models.imaging.preparation import ImagingSettings, prepare_lesion
from models.imaging.read import Frame
from models.imaging.resample import (
    ZSCORE_OFFSET,
    ZSCORE_SCALE,
    resample_image,
    resample_mask,
    standardise,
)
from tests.imaging_fixtures import a_disc

SHAPE = (300, 400)
LESION = a_disc(SHAPE, (150, 200), 60)
GEOMETRY = PixelGeometry((0.08, 0.08), Box(0, 0, 299, 399), "ultrasound region")


@pytest.fixture
def speckle() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, SHAPE).astype(np.uint8)


@pytest.fixture
def a_colour_frame(speckle: np.ndarray) -> np.ndarray:
    rgb = np.stack([speckle] * 3, axis=-1)
    rgb[a_disc(SHAPE, (150, 200), 15)] = (230, 40, 0)
    return rgb


@given(
    rows=st.integers(1, 60),
    columns=st.integers(1, 60),
    spacing=st.tuples(st.floats(0.03, 0.8), st.floats(0.03, 0.8)),
    grey=st.floats(0, 255),
)
@settings(max_examples=60, deadline=None)
def test_a_flat_image_stays_exactly_flat(
    rows: int, columns: int, spacing: tuple[float, float], grey: float
) -> None:
    result = resample_image(np.full((rows, columns), grey), spacing, 0.2)
    np.testing.assert_array_equal(result, np.full_like(result, np.round(grey, 6)))


@given(seed=st.integers(0, 2**32 - 1), spacing=st.floats(0.03, 0.8))
@settings(max_examples=40, deadline=None)
def test_resampling_never_leaves_the_range_of_the_image(seed: int, spacing: float) -> None:
    image = np.random.default_rng(seed).uniform(0, 255, (31, 43))
    result = resample_image(image, (spacing, spacing), 0.2)
    assert image.min() - 1e-6 <= result.min()
    assert result.max() <= image.max() + 1e-6


@pytest.mark.parametrize("spacing", [0.05, 0.1, 0.2, 0.31])
def test_a_plane_keeps_its_slope_in_millimetres(spacing: float) -> None:
    column = np.arange(200) * spacing
    image = np.tile(100 + 3 * column, (40, 1))
    result = resample_image(image, (spacing, spacing), 0.2)
    steps = np.diff(result[0])[4:-4]
    np.testing.assert_allclose(steps, 3 * 0.2, atol=1e-5)


def test_resampling_at_the_same_spacing_changes_nothing(speckle: np.ndarray) -> None:
    grey = speckle.astype(float)
    np.testing.assert_array_equal(resample_image(grey, (0.2, 0.2), 0.2), grey)


def test_detail_finer_than_the_target_averages_out_instead_of_aliasing(
    speckle: np.ndarray,
) -> None:
    # A mean over about 4 x 4 independent pixels; linear interpolation alone would keep over half.
    result = resample_image(speckle.astype(float), (0.05, 0.05), 0.2)
    assert result.std() < 0.25 * speckle.std()


@pytest.mark.parametrize("spacing", [(0.05, 0.05), (0.08, 0.12), (0.3, 0.3)])
def test_a_resampled_mask_keeps_its_area(spacing: tuple[float, float]) -> None:
    mask = a_disc((220, 220), (110, 110), 80)
    area = np.count_nonzero(mask) * spacing[0] * spacing[1]
    resampled = np.count_nonzero(resample_mask(mask, spacing, 0.2)) * 0.04
    assert resampled == pytest.approx(area, rel=0.01)


def test_the_z_score_of_a_region_has_a_fixed_mean_and_spread(speckle: np.ndarray) -> None:
    image = standardise(speckle.astype(float) * 0.3 + 7, LESION, "region_zscore")
    assert image[LESION].mean() == pytest.approx(ZSCORE_OFFSET, abs=1e-4)
    assert image[LESION].std() == pytest.approx(ZSCORE_SCALE, abs=1e-4)


def test_the_z_score_of_a_flat_region_is_flat() -> None:
    image = standardise(np.full(SHAPE, 9.0), LESION, "region_zscore")
    np.testing.assert_array_equal(image, ZSCORE_OFFSET)


def test_a_prepared_lesion_lies_on_the_grid_with_its_margin(speckle: np.ndarray) -> None:
    lesion = prepare_lesion(Frame(speckle), LESION, GEOMETRY, ImagingSettings(margin_mm=4.0))
    assert lesion.spacing == (0.2, 0.2)
    assert lesion.image.dtype == np.float64
    assert lesion.image.shape == lesion.mask.shape
    # 121 pixels of 0.08 mm and 4 mm on either side.
    assert lesion.image.shape[0] * 0.2 == pytest.approx(121 * 0.08 + 8, abs=0.21)
    assert lesion.offset == (90 - 50, 140 - 50)
    np.testing.assert_array_equal(lesion.native_mask, LESION[40:261, 90:311])
    np.testing.assert_array_equal(lesion.native_grey, speckle[40:261, 90:311])


def test_the_margin_ends_with_the_image_area(speckle: np.ndarray) -> None:
    geometry = dataclasses.replace(GEOMETRY, box=Box(85, 135, 215, 265))
    lesion = prepare_lesion(Frame(speckle), LESION, geometry, ImagingSettings())
    assert lesion.offset == (85, 135)
    assert lesion.native_grey.shape == (131, 131)


def test_grey_stored_as_rgb_prepares_to_the_very_same_lesion(speckle: np.ndarray) -> None:
    grey = prepare_lesion(Frame(speckle), LESION, GEOMETRY, ImagingSettings())
    rgb = Frame(np.stack([speckle] * 3, axis=-1))
    np.testing.assert_array_equal(
        prepare_lesion(rgb, LESION, GEOMETRY, ImagingSettings()).image, grey.image
    )


def test_paint_does_not_reach_the_texture(a_colour_frame: np.ndarray) -> None:
    lesion = prepare_lesion(Frame(a_colour_frame), LESION, GEOMETRY, ImagingSettings())
    centre = lesion.image[lesion.image.shape[0] // 2, lesion.image.shape[1] // 2]
    assert 100 < centre < 155, "the mean of the speckle, not the luma of red"


@pytest.mark.parametrize(
    ("flow", "known"),
    [
        (FlowHeader(), True),
        (FlowHeader(True, (Box(60, 100, 240, 300),)), True),
        (FlowHeader(True, (Box(150, 200, 299, 399),)), False),
    ],
    ids=["flow in the lesion", "box on the lesion", "box beside the lesion"],
)
def test_flow_is_known_only_where_doppler_looked(
    a_colour_frame: np.ndarray, flow: FlowHeader, *, known: bool
) -> None:
    lesion = prepare_lesion(Frame(a_colour_frame, flow=flow), LESION, GEOMETRY, ImagingSettings())
    assert (lesion.native_flow is not None) is known


def test_absent_flow_is_known_when_the_header_says_that_doppler_was_on(
    speckle: np.ndarray,
) -> None:
    rgb = np.stack([speckle] * 3, axis=-1)
    silent = prepare_lesion(Frame(rgb), LESION, GEOMETRY, ImagingSettings())
    assert silent.native_flow is None
    declared = Frame(rgb, flow=FlowHeader(declared=True))
    lesion = prepare_lesion(declared, LESION, GEOMETRY, ImagingSettings())
    assert lesion.native_flow is not None
    assert not lesion.native_flow.flow.any()


def test_flow_outside_the_colour_box_does_not_count(a_colour_frame: np.ndarray) -> None:
    flow = FlowHeader(True, (Box(60, 200, 240, 399), Box(60, 100, 140, 199)))
    lesion = prepare_lesion(Frame(a_colour_frame, flow=flow), LESION, GEOMETRY, ImagingSettings())
    assert lesion.native_flow is not None
    found = np.argwhere(lesion.native_flow.flow) + lesion.offset
    assert (found[:, 1] >= 200).sum() > 0
    assert ((found[:, 1] >= 200) | (found[:, 0] <= 140)).all()


def test_an_empty_mask_is_refused(speckle: np.ndarray) -> None:
    with pytest.raises(EmptyMaskError):
        prepare_lesion(Frame(speckle), np.zeros(SHAPE, dtype=bool), GEOMETRY, ImagingSettings())


@pytest.mark.parametrize("radius", [0.5, 1.0])
def test_a_mask_of_one_pixel_is_refused(speckle: np.ndarray, radius: float) -> None:
    with pytest.raises(MaskTooSmallError) as refusal:
        prepare_lesion(
            Frame(speckle), a_disc(SHAPE, (150, 200), radius), GEOMETRY, ImagingSettings()
        )
    assert refusal.value.code == "one-pixel-mask"


def test_a_mask_of_another_raster_is_refused(speckle: np.ndarray) -> None:
    with pytest.raises(MaskOutsideImageError):
        prepare_lesion(Frame(speckle), LESION[:200], GEOMETRY, ImagingSettings())


def test_settings_survive_a_round_trip_and_hash_by_value() -> None:
    given_settings = ImagingSettings(spacing_mm=0.15, standardisation="region_zscore")
    again = ImagingSettings.from_dict(given_settings.to_dict())
    assert again == given_settings
    assert again.sha256 == given_settings.sha256 != ImagingSettings().sha256


@pytest.mark.parametrize(
    "values",
    [{"spacing_mm": 0}, {"spacing_mm": float("nan")}, {"margin_mm": -1}, {"standardisation": "x"}],
)
def test_impossible_settings_are_refused(values: dict[str, float | str]) -> None:
    with pytest.raises(ValueError, match=r"spacing|margin|standardisation"):
        ImagingSettings.from_dict(values)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="bin_width"):
        ImagingSettings.from_dict({"bin_width": 25})
