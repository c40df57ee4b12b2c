from __future__ import annotations

import copy

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.pixels.utils import compress
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from models.imaging.errors import (
    EmptyMaskError,
    MalformedSegmentationError,
    PixelBudgetError,
    UndecodablePixelsError,
)
from models.imaging.masks import SegmentMask, largest_frame, read_masks
from tests.imaging_fixtures import IMAGE, a_disc, a_gradient, a_segmentation, an_ultrasound

# 63 x 95 pixels are no whole number of bytes: frames of a binary SEG begin inside a byte.
SHAPE = (63, 95)


@pytest.fixture
def an_image() -> Dataset:
    return an_ultrasound(a_gradient(*SHAPE))


@pytest.fixture
def two_lesions() -> np.ndarray:
    masks = np.zeros((1, *SHAPE, 2), dtype=np.uint8)
    masks[0, ..., 0] = a_disc(SHAPE, (20, 30), 9.5)
    masks[0, ..., 1] = a_disc(SHAPE, (45, 70), 12.2)
    return masks


def test_binary_frames_are_unpacked_across_byte_borders(
    an_image: Dataset, two_lesions: np.ndarray
) -> None:
    masks = read_masks(a_segmentation(an_image, two_lesions))
    assert [mask.segment_number for mask in masks] == [1, 2]
    assert [mask.source for mask in masks] == [(IMAGE, 1), (IMAGE, 1)]
    for index, mask in enumerate(masks):
        np.testing.assert_array_equal(mask.mask, two_lesions[0, ..., index].astype(bool))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
def test_label_map_frames_give_one_mask_a_segment(
    an_image: Dataset, two_lesions: np.ndarray, syntax: str
) -> None:
    labels = (two_lesions[..., 0] + 2 * two_lesions[..., 1]).astype(np.uint8)
    seg = a_segmentation(an_image, labels, "LABELMAP")
    if syntax != ExplicitVRLittleEndian:
        plugin = "pydicom" if syntax == RLELossless else "pylibjpeg"
        compress(seg, syntax, encoding_plugin=plugin, generate_instance_uid=False)
    masks = read_masks(seg)
    assert [mask.segment_number for mask in masks] == [1, 2]
    np.testing.assert_array_equal(masks[1].mask, two_lesions[0, ..., 1].astype(bool))
    assert masks[1].source == (IMAGE, 1)


def test_a_fractional_pixel_belongs_from_half_of_the_maximum_on(an_image: Dataset) -> None:
    fractions = np.linspace(0, 1, 95)[None, None, :].repeat(63, axis=1)
    seg = a_segmentation(an_image, fractions, "FRACTIONAL", max_fractional_value=200)
    (mask,) = read_masks(seg)
    np.testing.assert_array_equal(mask.mask, np.rint(fractions[0] * 200) >= 100)
    (wide,) = read_masks(seg, fraction=0.0)
    np.testing.assert_array_equal(wide.mask, np.rint(fractions[0] * 200) > 0)


def test_each_frame_of_a_clip_keeps_its_own_source_frame(an_image: Dataset) -> None:
    seg = a_segmentation(an_image, a_disc(SHAPE, (30, 40), 8)[None].astype(np.uint8))
    seg.NumberOfFrames = 2
    item = seg.PerFrameFunctionalGroupsSequence[0]
    later = copy.deepcopy(item)
    source = Dataset()
    source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber = IMAGE, 17
    derivation = Dataset()
    derivation.SourceImageSequence = [source]
    later.DerivationImageSequence = [derivation]
    seg.PerFrameFunctionalGroupsSequence = [item, later]
    small, large = a_disc(SHAPE, (30, 40), 8), a_disc(SHAPE, (30, 40), 12)
    bits = np.packbits(np.concatenate([small.ravel(), large.ravel()]), bitorder="little")
    seg.PixelData = bits.tobytes() + b"\0" * (bits.size % 2)
    masks = read_masks(seg)
    assert [mask.source for mask in masks] == [(IMAGE, 1), (IMAGE, 17)]
    np.testing.assert_array_equal(masks[1].mask, large)
    assert largest_frame(masks, 1) is masks[1]


def test_the_first_of_equally_large_frames_is_chosen() -> None:
    mask = a_disc(SHAPE, (30, 40), 8)
    frames = [SegmentMask(1, number, (IMAGE, number), mask) for number in (1, 2, 3)]
    assert largest_frame(frames, 1).frame_number == 1


def test_a_described_segment_without_a_frame_is_empty_and_not_forgotten(
    an_image: Dataset, two_lesions: np.ndarray
) -> None:
    labels = two_lesions[..., 0] + 2 * two_lesions[..., 1]
    seg = a_segmentation(an_image, labels.astype(np.uint8), "LABELMAP")
    seg.PixelData = np.where(labels == 2, 0, labels).astype(np.uint8).tobytes() + b"\0"
    masks = read_masks(seg)
    assert [mask.segment_number for mask in masks] == [1, 2]
    with pytest.raises(EmptyMaskError) as refusal:
        largest_frame(masks, 2)
    assert refusal.value.code == "empty-mask"


def test_a_segmentation_without_source_images_has_none(
    an_image: Dataset, two_lesions: np.ndarray
) -> None:
    seg = a_segmentation(an_image, two_lesions)
    for item in seg.PerFrameFunctionalGroupsSequence:
        del item.DerivationImageSequence
    assert [mask.source for mask in read_masks(seg)] == [None, None]


def test_a_frame_of_several_segments_must_say_which(
    an_image: Dataset, two_lesions: np.ndarray
) -> None:
    seg = a_segmentation(an_image, two_lesions)
    del seg.PerFrameFunctionalGroupsSequence[1].SegmentIdentificationSequence
    with pytest.raises(MalformedSegmentationError, match="Frame 2"):
        read_masks(seg)


def test_a_frame_of_an_undescribed_segment_is_refused(
    an_image: Dataset, two_lesions: np.ndarray
) -> None:
    seg = a_segmentation(an_image, two_lesions)
    identification = seg.PerFrameFunctionalGroupsSequence[1].SegmentIdentificationSequence[0]
    identification.ReferencedSegmentNumber = 7
    with pytest.raises(MalformedSegmentationError, match="segment 7"):
        read_masks(seg)


def test_an_image_is_no_segmentation(an_image: Dataset) -> None:
    with pytest.raises(MalformedSegmentationError, match="no segmentation"):
        read_masks(an_image)


def test_a_segmentation_over_the_budget_is_refused(
    an_image: Dataset, two_lesions: np.ndarray
) -> None:
    with pytest.raises(PixelBudgetError):
        read_masks(a_segmentation(an_image, two_lesions), max_pixels=SHAPE[0] * SHAPE[1])


def test_a_segmentation_with_too_few_bytes_is_refused(
    an_image: Dataset, two_lesions: np.ndarray
) -> None:
    seg = a_segmentation(an_image, two_lesions)
    seg.PixelData = seg.PixelData[:10]
    with pytest.raises(UndecodablePixelsError):
        read_masks(seg)
