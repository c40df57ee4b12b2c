from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset

from models.imaging.boxes import Box
from models.imaging.errors import (
    EmptyMaskError,
    MaskOutsideImageError,
    MaskOutsideRegionError,
    NoCalibrationError,
    StaleCalibrationError,
)
from models.imaging.geometry import PixelGeometry, pixel_geometry
from tests.imaging_fixtures import a_disc, a_region

SHAPE = (200, 300)
LESION = a_disc(SHAPE, (100, 120), 20)


def a_header(*regions: Dataset, **elements: object) -> Dataset:
    header = Dataset()
    header.Rows, header.Columns = SHAPE
    if regions:
        header.SequenceOfUltrasoundRegions = list(regions)
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return header


def test_centimetres_become_millimetres_and_axes_keep_their_order() -> None:
    geometry = pixel_geometry(a_header(a_region((10, 20, 280, 190), delta=(0.02, 0.03))), LESION)
    assert geometry.spacing == pytest.approx((0.3, 0.2))
    assert geometry.box == Box(20, 10, 190, 280)
    assert geometry.source == "ultrasound region"


def test_the_sign_of_a_delta_does_not_count() -> None:
    geometry = pixel_geometry(a_header(a_region((0, 0, 299, 199), delta=(-0.02, -0.02))), LESION)
    assert geometry.spacing == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize(
    "elements",
    [
        {"RegionSpatialFormat": 2},
        {"RegionSpatialFormat": 3},
        {"RegionDataType": 3},
        {"RegionDataType": 10},
        {"PhysicalUnitsXDirection": 4},
        {"PhysicalUnitsYDirection": 0},
        {"PhysicalDeltaX": 0.0},
        {"PhysicalDeltaY": float("nan")},
        {"PhysicalDeltaY": float("inf")},
    ],
)
def test_a_region_that_is_no_picture_in_centimetres_does_not_count(
    elements: dict[str, object],
) -> None:
    with pytest.raises(NoCalibrationError) as refusal:
        pixel_geometry(a_header(a_region((0, 0, 299, 199), **elements)), LESION)
    assert refusal.value.code == "no-calibration"


def test_no_single_region_may_hold_only_a_part_of_the_mask() -> None:
    left, right = a_region((0, 0, 120, 199)), a_region((121, 0, 299, 199))
    with pytest.raises(MaskOutsideRegionError, match="No single"):
        pixel_geometry(a_header(left, right), LESION)


def test_of_a_dual_view_the_side_with_the_mask_counts() -> None:
    left = a_region((0, 0, 145, 199), delta=0.01)
    right = a_region((146, 0, 299, 199), delta=0.02)
    geometry = pixel_geometry(a_header(right, left), LESION)
    assert geometry.spacing == pytest.approx((0.1, 0.1))
    assert geometry.box.right == 145


def test_a_colour_box_lends_its_scale_but_does_not_cut_the_tissue() -> None:
    tissue = a_region((5, 5, 290, 190))
    colour = a_region((90, 70, 150, 130), data_type=2)
    geometry = pixel_geometry(a_header(tissue, colour), LESION)
    assert geometry.box == Box(5, 5, 190, 290)


def test_a_zoomed_inset_has_its_own_scale_and_box() -> None:
    picture = a_region((0, 0, 299, 199), delta=0.02)
    inset = a_region((80, 60, 180, 150), delta=0.005)
    geometry = pixel_geometry(a_header(picture, inset), LESION)
    assert geometry.spacing == pytest.approx((0.05, 0.05))
    assert geometry.box == Box(60, 80, 150, 180)


def test_a_region_cropped_along_one_axis_keeps_its_scale() -> None:
    geometry = pixel_geometry(a_header(a_region((20, 10, 300, 500))), LESION)
    assert geometry.box == Box(10, 20, 199, 299)


def test_regions_of_a_larger_raster_are_refused() -> None:
    with pytest.raises(StaleCalibrationError) as refusal:
        pixel_geometry(a_header(a_region((20, 10, 580, 390))), LESION)
    assert refusal.value.code == "stale-calibration"


def test_pixel_spacing_counts_where_there_are_no_regions() -> None:
    geometry = pixel_geometry(a_header(PixelSpacing=[0.3, 0.2]), LESION)
    assert geometry == PixelGeometry((0.3, 0.2), Box(0, 0, 199, 299), "pixel spacing")


def test_regions_come_before_pixel_spacing() -> None:
    header = a_header(a_region((0, 0, 299, 199)), PixelSpacing=[1, 1])
    assert pixel_geometry(header, LESION).spacing == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("spacing", [[0, 0], [0.2, -0.2], None])
def test_a_useless_pixel_spacing_is_no_calibration(spacing: list[float] | None) -> None:
    with pytest.raises(NoCalibrationError):
        pixel_geometry(a_header(PixelSpacing=spacing), LESION)


def test_a_mask_of_another_raster_is_refused() -> None:
    with pytest.raises(MaskOutsideImageError) as refusal:
        pixel_geometry(a_header(a_region((0, 0, 299, 199))), LESION[:, :200])
    assert refusal.value.code == "mask-outside-image"


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(EmptyMaskError):
        pixel_geometry(a_header(a_region((0, 0, 299, 199))), np.zeros(SHAPE, dtype=bool))
