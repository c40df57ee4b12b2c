from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models.imaging.boxes import Box
from models.imaging.colour_flow import fill, flow_fraction, has_colour, separate
from models.imaging.read import Frame
from tests.imaging_fixtures import a_disc

SHAPE = (160, 200)
VESSEL = a_disc(SHAPE, (80, 90), 12)


@pytest.fixture
def speckle() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.clip(rng.normal(90, 30, SHAPE), 0, 255).astype(np.uint8)


def painted(grey: np.ndarray, where: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    rgb = np.stack([grey] * 3, axis=-1)
    rgb[where] = colour
    return rgb


def as_jpeg(rgb: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=85, subsampling="4:2:0")
    return np.asarray(Image.open(buffer))


def test_grey_stored_as_rgb_equals_the_same_grey_exactly(speckle: np.ndarray) -> None:
    as_grey = separate(Frame(speckle)).grey
    as_rgb = separate(Frame(np.stack([speckle] * 3, axis=-1))).grey
    np.testing.assert_array_equal(as_grey, as_rgb)
    assert as_grey.dtype == np.float64


def test_a_grey_frame_has_no_colour(speckle: np.ndarray) -> None:
    assert not has_colour(Frame(speckle))
    assert not has_colour(Frame(np.stack([speckle] * 3, axis=-1)))


def test_jpeg_chroma_noise_on_grey_is_no_flow(speckle: np.ndarray) -> None:
    assert not has_colour(Frame(as_jpeg(np.stack([speckle] * 3, axis=-1))))


def test_sixteen_bit_grey_is_brought_to_the_scale_of_eight_bits(speckle: np.ndarray) -> None:
    wide = Frame(speckle.astype(np.uint16) * 257, bits=16)
    np.testing.assert_allclose(separate(wide).grey, speckle.astype(float), atol=1e-9)


@pytest.mark.parametrize(
    "colour", [(120, 0, 0), (255, 230, 40), (0, 30, 140), (60, 220, 255), (255, 140, 0)]
)
@pytest.mark.parametrize("jpeg", [False, True])
def test_flow_of_every_map_colour_is_found(
    speckle: np.ndarray, colour: tuple[int, int, int], *, jpeg: bool
) -> None:
    rgb = painted(speckle, VESSEL, colour)
    flow = separate(Frame(as_jpeg(rgb) if jpeg else rgb)).flow
    assert np.count_nonzero(flow & VESSEL) >= 0.97 * VESSEL.sum()
    near = a_disc(SHAPE, (80, 90), 16)
    assert not (flow & ~near).any()


def test_green_calipers_are_taken_out_of_the_grey_but_are_no_flow(speckle: np.ndarray) -> None:
    cross = np.zeros(SHAPE, dtype=bool)
    cross[78:82, 60:120] = True
    separation = separate(Frame(painted(speckle, cross, (40, 255, 60))))
    assert separation.overlay[cross].all()
    assert not separation.flow.any()


def test_a_one_pixel_outline_is_no_flow(speckle: np.ndarray) -> None:
    outline = np.zeros(SHAPE, dtype=bool)
    outline[40, 30:150] = outline[120, 30:150] = True
    outline[40:121, 30] = outline[40:121, 150] = True
    separation = separate(Frame(painted(speckle, outline, (255, 255, 0))))
    assert separation.overlay[outline].all()
    assert not separation.flow.any()


def test_grey_under_flow_is_filled_from_around(speckle: np.ndarray) -> None:
    separation = separate(Frame(painted(speckle, VESSEL, (255, 60, 0))))
    inside = separation.grey[VESSEL]
    assert abs(inside.mean() - speckle[~VESSEL].mean()) < 8
    np.testing.assert_array_equal(
        separation.grey[~separation.overlay], speckle[~separation.overlay]
    )


def test_a_tinted_grey_map_is_no_flow_but_flow_on_it_is(speckle: np.ndarray) -> None:
    tinted = (speckle[..., None] * np.array([1.0, 0.85, 0.55])).astype(np.uint8)
    assert not has_colour(Frame(tinted))
    tinted[VESSEL] = (0, 60, 220)
    flow = separate(Frame(tinted)).flow
    assert np.count_nonzero(flow & VESSEL) >= 0.97 * VESSEL.sum()
    assert np.count_nonzero(flow & ~VESSEL) < 0.1 * VESSEL.sum()


def test_a_coloured_title_bar_does_not_look_like_a_tint(speckle: np.ndarray) -> None:
    rgb = np.stack([np.where(speckle > 130, speckle, 0)] * 3, axis=-1).astype(np.uint8)
    rgb[:60] = (36, 62, 98)
    assert not separate(Frame(rgb), Box(70, 0, 159, 199)).overlay.any()


def test_a_box_is_separated_like_the_same_part_of_the_whole(speckle: np.ndarray) -> None:
    frame = Frame(painted(speckle, VESSEL, (200, 0, 0)))
    box = Box(40, 50, 119, 149)
    np.testing.assert_array_equal(separate(frame, box).flow, separate(frame).flow[box.slices])


def test_hidden_pixels_of_a_plane_grey_get_that_grey() -> None:
    grey = np.full(SHAPE, 70.0)
    np.testing.assert_allclose(fill(grey, a_disc(SHAPE, (80, 90), 50)), 70.0)


def test_an_image_that_is_all_paint_becomes_black() -> None:
    assert not fill(np.full((8, 8), 70.0), np.ones((8, 8), dtype=bool)).any()


def test_flow_fraction_counts_flow_in_the_mask_only() -> None:
    flow = np.zeros((10, 10), dtype=bool)
    flow[:, :5] = True
    mask = np.zeros((10, 10), dtype=bool)
    mask[:, 4:8] = True
    assert flow_fraction(flow, mask) == 0.25
    assert flow_fraction(flow, np.zeros_like(mask)) == 0.0
