"""Real ultrasound from the pydicom wheel, with facts a person can read off the pictures."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from models.features.semantic import SemanticThresholds, adler_grade, classify, measure_semantics
from models.features.semantic.diameter import maximum_diameter
from models.imaging.boxes import Box
from models.imaging.colour_flow import separate
from models.imaging.errors import NoCalibrationError, StaleCalibrationError
from models.imaging.geometry import PixelGeometry, pixel_geometry
from models.imaging.preparation import ImagingSettings, prepare_lesion
from models.imaging.read import read_frame
from tests.imaging_fixtures import a_disc


def an_example(name: str) -> Dataset:
    return dcmread(get_testdata_file(f"examples_{name}.dcm", download=False))


def test_the_calipers_of_the_palette_image_measure_what_its_caption_says() -> None:
    # Caption: "Cist Mag 1.06 cm". The calipers' centres stand at these (row, column).
    dataset = an_example("palette")
    line = np.zeros((dataset.Rows, dataset.Columns), dtype=bool)
    line[291, 460] = line[301, 499] = True
    geometry = pixel_geometry(dataset, line)
    rows, columns = 301 - 291, 499 - 460
    length = np.hypot(rows * geometry.spacing[0], columns * geometry.spacing[1])
    assert length == pytest.approx(10.6, abs=0.1)
    # An outline through both centres is at most one pixel longer.
    assert 0 < maximum_diameter(line, geometry.spacing).length_mm - length < 0.27


def test_the_palette_image_is_grey_where_it_shows_tissue() -> None:
    frame = read_frame(an_example("palette"))
    tissue = Box(70, 380, 150, 540)
    separation = separate(frame, tissue)
    assert not separation.overlay.any()
    np.testing.assert_array_equal(separation.grey, frame.pixels[tissue.slices][..., 1])


def test_the_region_of_the_cardiac_clip_belongs_to_a_larger_raster() -> None:
    # 240 x 320 pixels, but its region reaches to column 595: taken at its word, the 19 cm deep
    # sector would measure 10 cm.
    dataset = an_example("ybr_color")
    with pytest.raises(StaleCalibrationError):
        pixel_geometry(dataset, a_disc((240, 320), (120, 160), 30))


def test_every_frame_of_the_jpeg_clip_is_read_on_its_own() -> None:
    dataset = an_example("ybr_color")
    first, tenth = read_frame(dataset, 1), read_frame(dataset, 10)
    assert first.shape == tenth.shape == (240, 320)
    assert 0 < np.abs(first.pixels.astype(int) - tenth.pixels).mean() < 20


def test_the_sector_of_the_jpeg_clip_is_free_of_colour() -> None:
    separation = separate(read_frame(an_example("ybr_color")), Box(40, 120, 190, 210))
    assert not separation.flow.any()


@pytest.mark.parametrize("name", ["rgb_color", "jpeg2k"])
def test_an_image_without_calibration_is_refused(name: str) -> None:
    dataset = an_example(name)
    mask = a_disc((dataset.Rows, dataset.Columns), (dataset.Rows * 0.4, dataset.Columns * 0.25), 30)
    with pytest.raises(NoCalibrationError):
        pixel_geometry(dataset, mask)


def test_the_lymph_nodes_power_doppler_is_found_inside_its_boxes() -> None:
    separation = separate(read_frame(an_example("jpeg2k")))
    boxes = np.zeros(separation.flow.shape, dtype=bool)
    boxes[148:295, 87:548] = True
    bars = np.zeros_like(boxes)
    bars[150:220, :45] = bars[150:220, 595:] = True
    assert not (separation.flow & ~boxes & ~bars).any()
    assert 0.1 < separation.flow[boxes].mean() < 0.35


def test_grey_under_power_doppler_stays_in_the_range_of_the_node() -> None:
    separation = separate(read_frame(an_example("jpeg2k")))
    left = separation.flow.copy()
    left[:, :88] = left[:, 316:] = False
    left[:150] = left[293:] = False
    assert separation.grey[left].mean() < 100, "not the luma of yellow, which is over 180"


def test_the_lymph_node_is_richly_perfused() -> None:
    # The scale is not in the header; the caption's 3 cm field over 210 rows gives about 0.14 mm.
    frame = read_frame(an_example("jpeg2k"))
    row, column = np.indices(frame.shape)
    node = ((row - 215) / 62.0) ** 2 + ((column - 195) / 110.0) ** 2 <= 1
    geometry = PixelGeometry((0.14, 0.14), Box(105, 15, 335, 622), "pixel spacing")
    measurements = measure_semantics(prepare_lesion(frame, node, geometry, ImagingSettings()))
    assert measurements.flow_fraction is not None
    assert measurements.flow_fraction > 0.15
    assert adler_grade(measurements, SemanticThresholds()) == 3
    assert classify(measurements, SemanticThresholds())["flow_grade"].value == "2-3"
