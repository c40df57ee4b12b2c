from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from models.features.semantic import measure_semantics
from models.features.semantic.diameter import maximum_diameter
from models.features.semantic.tissue import heterogeneity, irregularity, margin_sharpness
from models.imaging.boxes import Box
from models.imaging.flow_header import FlowHeader
from models.imaging.geometry import PixelGeometry
from models.imaging.preparation import ImagingSettings, Lesion, prepare_lesion
from models.imaging.read import Frame
from tests.imaging_fixtures import a_disc

SHAPE = (240, 300)
FINE = (0.1, 0.1)


def brute_force_diameter(mask: np.ndarray, spacing: tuple[float, float]) -> float:
    pixels = np.argwhere(mask).astype(float)
    outline = np.concatenate(
        [pixels + step for step in ([0, 0.5], [0, -0.5], [0.5, 0], [-0.5, 0])]
    ) * np.asarray(spacing)
    return float(np.sqrt(((outline[:, None] - outline[None]) ** 2).sum(-1)).max())


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 14),
    columns=st.integers(1, 14),
    density=st.floats(0.05, 1.0),
    spacing=st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 1.0)),
)
@settings(max_examples=150, deadline=None)
def test_the_diameter_equals_brute_force_over_every_pair_of_points(
    seed: int, rows: int, columns: int, density: float, spacing: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, columns)) < density
    mask[rng.integers(rows), rng.integers(columns)] = True
    diameter = maximum_diameter(mask, spacing)
    assert diameter.length_mm == pytest.approx(brute_force_diameter(mask, spacing), rel=1e-12)
    ends = np.array(diameter.ends) * spacing
    assert np.hypot(*(ends[0] - ends[1])) == pytest.approx(diameter.length_mm, rel=1e-12)


def test_a_row_of_ten_pixels_is_ten_pixels_long() -> None:
    mask = np.zeros((5, 20), dtype=bool)
    mask[2, 4:14] = True
    diameter = maximum_diameter(mask, (0.3, 0.2))
    assert diameter.length_mm == pytest.approx(2.0)
    assert sorted(diameter.ends) == [(2.0, 3.5), (2.0, 13.5)]


def test_an_ellipse_is_regular_at_any_angle_and_a_star_is_not() -> None:
    row, column = np.indices(SHAPE) - np.array([120, 150])[:, None, None]
    values = []
    for angle in np.radians([0, 25, 70]):
        u = row * np.cos(angle) + column * np.sin(angle)
        v = column * np.cos(angle) - row * np.sin(angle)
        values.append(irregularity((u / 40) ** 2 + (v / 80) ** 2 <= 1, FINE))
    assert max(values) < 0.02
    turn = np.arctan2(row, column)
    star = np.hypot(row, column) <= 60 * (1 + 0.35 * np.cos(6 * turn))
    assert irregularity(star, FINE) > 0.2


def test_irregularity_does_not_depend_on_the_shape_of_the_pixels() -> None:
    row, column = np.indices((400, 400)) - 200
    fine = (row / 160.0) ** 2 + (column / 90.0) ** 2 + 0.2 * np.sin(row / 25) <= 1
    assert irregularity(fine, (0.1, 0.1)) == pytest.approx(
        irregularity(fine[::2], (0.2, 0.1)), abs=0.01
    )


def test_the_ellipse_of_a_thin_shape_is_as_thin() -> None:
    # Pixels have an extent of their own: without it, or with more, the ellipse does not fit.
    assert irregularity(np.pad(np.ones((2, 20), dtype=bool), 40), FINE) < 0.05


def a_blurred_lesion(width_mm: float, contrast: float = 80.0) -> tuple[np.ndarray, np.ndarray]:
    mask = a_disc((150, 150), (75, 75), 40)
    grey = 130.0 - contrast * mask
    grey = ndimage.gaussian_filter(grey, width_mm / 0.2)
    return grey + np.random.default_rng(2).normal(0, 5, grey.shape), mask


def test_a_margin_is_sharper_the_less_it_is_blurred() -> None:
    values = [margin_sharpness(*a_blurred_lesion(width), 0.2) for width in (0.1, 0.4, 0.8, 1.4)]
    assert all(value is not None for value in values)
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.5 * values[-1]


def test_the_sharpness_of_a_margin_does_not_depend_on_contrast() -> None:
    strong, weak = (margin_sharpness(*a_blurred_lesion(0.4, c), 0.2) for c in (100, 50))
    assert strong == pytest.approx(weak, rel=0.15)


def test_a_bright_lesion_has_a_margin_like_a_dark_one() -> None:
    grey, mask = a_blurred_lesion(0.4)
    assert margin_sharpness(255 - grey, mask, 0.2) == pytest.approx(
        margin_sharpness(grey, mask, 0.2)
    )


def test_a_lesion_too_thin_for_plateaus_has_no_margin_sharpness() -> None:
    mask = np.zeros((60, 60), dtype=bool)
    mask[28:32, 20:40] = True
    assert margin_sharpness(np.full(mask.shape, 90.0), mask, 0.2) is None


def test_a_lesion_without_contrast_has_no_margin_sharpness() -> None:
    assert (
        margin_sharpness(np.full((150, 150), 90.0), a_disc((150, 150), (75, 75), 40), 0.2) is None
    )


def test_patches_are_heterogeneous_and_a_gain_slope_is_not() -> None:
    rng = np.random.default_rng(4)
    mask = a_disc((150, 150), (75, 75), 50)
    patches = ndimage.gaussian_filter(rng.standard_normal(mask.shape), 5)
    patchy = 90 + 20 * patches / patches.std()
    slope = 90 + 0.5 * np.indices(mask.shape)[0]
    assert heterogeneity(patchy, mask, 0.2) > 10
    assert heterogeneity(slope, mask, 0.2) < 2


def test_surroundings_do_not_make_a_lesion_heterogeneous() -> None:
    mask = a_disc((150, 150), (75, 75), 50)
    grey = np.where(mask, 60.0, np.random.default_rng(1).uniform(0, 255, mask.shape))
    assert heterogeneity(grey, mask, 0.2) == pytest.approx(0.0, abs=1e-9)


@pytest.fixture
def a_lesion() -> Lesion:
    rgb = np.full((*SHAPE, 3), 120, dtype=np.uint8)
    mask = a_disc(SHAPE, (120, 150), 50)
    rgb[mask] = 60
    for row, column in ((100, 130), (120, 160), (140, 140)):
        rgb[a_disc(SHAPE, (row, column), 6)] = (220, 30, 0)
    rgb[a_disc(SHAPE, (120, 150), 1.5)] = (220, 30, 0)
    rgb[a_disc(SHAPE, (30, 40), 10)] = (220, 30, 0)
    geometry = PixelGeometry(FINE, Box(0, 0, 239, 299), "ultrasound region")
    frame = Frame(rgb, flow=FlowHeader(declared=True))
    return prepare_lesion(frame, mask, geometry, ImagingSettings())


def test_flow_is_counted_inside_the_lesion_and_specks_are_not_vessels(a_lesion: Lesion) -> None:
    measurements = measure_semantics(a_lesion)
    assert measurements.vessel_count == 3
    expected = 3 * np.count_nonzero(a_disc(SHAPE, (120, 150), 6)) / a_lesion.native_mask.sum()
    assert measurements.flow_fraction == pytest.approx(expected, rel=0.1)


def test_the_ends_of_the_diameter_are_pixels_of_the_frame(a_lesion: Lesion) -> None:
    measurements = measure_semantics(a_lesion)
    ends = np.array(measurements.diameter_ends)
    assert measurements.maximum_diameter == pytest.approx(10.1, abs=0.1)
    np.testing.assert_allclose(ends.mean(axis=0), (120, 150), atol=1.0)
    assert not measurements.truncated


def test_flow_comes_from_the_colour_image_where_there_is_one(a_lesion: Lesion) -> None:
    grey = np.full(SHAPE, 120, dtype=np.uint8)
    geometry = PixelGeometry(FINE, Box(0, 0, 239, 299), "ultrasound region")
    mask = a_disc(SHAPE, (120, 150), 50)
    plain = prepare_lesion(Frame(grey), mask, geometry, ImagingSettings())
    assert measure_semantics(plain).flow_fraction is None
    assert measure_semantics(plain, a_lesion).vessel_count == 3


def test_a_lesion_at_the_end_of_the_image_is_truncated() -> None:
    geometry = PixelGeometry(FINE, Box(0, 0, 239, 299), "ultrasound region")
    mask = a_disc(SHAPE, (20, 150), 50)
    frame = Frame(np.full(SHAPE, 120, dtype=np.uint8))
    assert measure_semantics(prepare_lesion(frame, mask, geometry, ImagingSettings())).truncated
