"""DICOM Segmentations as boolean masks, frame by frame, with the image frame they lie on.

Sources: PS3.3 sections A.51 and C.8.20 (Segmentation, Label Map Segmentation),
C.7.6.16.2.6 (Derivation Image), PS3.5 section 8.1.1 (bits of a binary frame follow those of the
frame before without padding).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from models.imaging.decoders import DECODER_FAILURES, decode_array
from models.imaging.errors import (
    EmptyMaskError,
    MalformedSegmentationError,
    UndecodablePixelsError,
    one_line,
)
from models.imaging.read import check_budget, check_frame_size, number_of_frames

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
DEFAULT_FRACTION = 0.5
"""A fractional pixel belongs to the segment from this part of the maximum on."""
DEFAULT_MAX_MASK_PIXELS = 1 << 28
"""Frames times rows times columns of the largest segmentation that is read."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentMask:
    """One segment on one frame of a segmentation.

    Attributes:
        segment_number: Segment Number (0062,0004).
        frame_number: Frame of the segmentation, 1-based.
        source: (SOP Instance UID, frame number) of the image frame it was drawn on; None where
            the segmentation does not say.
        mask: (rows, columns) bool.
    """

    segment_number: int
    frame_number: int
    source: tuple[str, int] | None
    mask: NDArray[np.bool_]

    @property
    def area(self) -> int:
        """Number of pixels in the mask."""
        return int(np.count_nonzero(self.mask))


def read_masks(
    seg: Dataset,
    *,
    fraction: float = DEFAULT_FRACTION,
    max_pixels: int = DEFAULT_MAX_MASK_PIXELS,
) -> tuple[SegmentMask, ...]:
    """Read every segment on every frame.

    A label map frame gives one mask per segment present on it; a described segment that lies on
    no frame gives one empty mask, so that it can be refused by name and not be forgotten.

    Args:
        seg: A Segmentation (binary or fractional) or Label Map Segmentation.
        fraction: Part of Maximum Fractional Value from which a pixel belongs to the segment.
        max_pixels: Refuse a segmentation of more pixels (frames times rows times columns).

    Returns:
        Masks in frame order, within a frame in the order of segment numbers.

    Raises:
        MalformedSegmentationError: The instance is no segmentation, or a frame does not say
            which segment it shows.
        PixelBudgetError: The segmentation is larger than `max_pixels`.
        UndecodablePixelsError: The pixel data cannot be decoded.
    """
    try:
        return _read_masks(seg, fraction, max_pixels)
    except DECODER_FAILURES as error:  # an element is not what it should be
        raise MalformedSegmentationError(
            f"The segmentation cannot be read: {one_line(error)}"
        ) from error


def _read_masks(seg: Dataset, fraction: float, max_pixels: int) -> tuple[SegmentMask, ...]:
    # As text: a damaged one may hold several values, and those are unhashable.
    if str(seg.get("SOPClassUID")) not in {SEGMENTATION, LABEL_MAP_SEGMENTATION}:
        raise MalformedSegmentationError("The instance is no segmentation")
    numbers = _described_segments(seg)
    per_frame = _pixels_per_frame(seg)
    check_budget(number_of_frames(seg) * per_frame, max_pixels)
    found = []
    for mask in _masks(seg, numbers, fraction):
        found.append(mask)
        # A frame of a label map gives a mask for each of its labels.
        check_budget(len(found) * per_frame, max_pixels)
    masks = tuple(found)
    absent = sorted(set(numbers) - {mask.segment_number for mask in masks})
    empty = np.zeros((int(seg.Rows), int(seg.Columns)), dtype=bool)
    return masks + tuple(SegmentMask(number, 1, None, empty) for number in absent)


def largest_frame(masks: Sequence[SegmentMask], segment_number: int) -> SegmentMask:
    """Choose the frame on which a segment is largest; the first of equals.

    Args:
        masks: What `read_masks` returned.
        segment_number: The segment.

    Raises:
        EmptyMaskError: The segment has no pixel on any frame.
    """
    own = [mask for mask in masks if mask.segment_number == segment_number]
    best = max(own, key=lambda mask: mask.area, default=None)
    if best is None or best.area == 0:
        raise EmptyMaskError(f"Segment {segment_number} has no pixel on any frame")
    return best


def _masks(seg: Dataset, numbers: Sequence[int], fraction: float) -> Iterator[SegmentMask]:
    label_map = _is_label_map(seg)
    for index in range(number_of_frames(seg)):
        pixels = _frame_pixels(seg, index)
        source = _source(seg, index)
        if label_map:
            present = np.unique(pixels)
            for number in sorted(set(numbers) & {int(value) for value in present}):
                yield SegmentMask(number, index + 1, source, pixels == number)
        else:
            number = _segment_number(seg, index, numbers)
            yield SegmentMask(number, index + 1, source, _inside(seg, pixels, fraction))


def _is_label_map(seg: Dataset) -> bool:
    return bool(
        seg.SOPClassUID == LABEL_MAP_SEGMENTATION or seg.get("SegmentationType") == "LABELMAP"
    )


def _inside(seg: Dataset, pixels: NDArray[np.generic], fraction: float) -> NDArray[np.bool_]:
    values = np.asarray(pixels)
    if seg.get("SegmentationType") != "FRACTIONAL":
        return np.asarray(values != 0)
    maximum = int(seg.get("MaximumFractionalValue") or 255)
    # Zero is outside whatever the fraction, else a fraction of 0 would fill the raster.
    return np.asarray((values >= fraction * maximum) & (values != 0))


def _frame_pixels(seg: Dataset, index: int) -> NDArray[np.generic]:
    try:
        if seg.file_meta.TransferSyntaxUID.is_encapsulated:
            check_frame_size(seg, index, number_of_frames(seg))
        return decode_array(seg, index)
    except DECODER_FAILURES as error:
        raise UndecodablePixelsError(
            f"Frame {index + 1} of the segmentation cannot be decoded: {one_line(error)}"
        ) from error


def _pixels_per_frame(seg: Dataset) -> int:
    pixels = int(seg.get("Rows") or 0) * int(seg.get("Columns") or 0)
    if pixels == 0 or not seg.get("PixelData"):
        raise UndecodablePixelsError("The segmentation holds no pixel data")
    return pixels


def _described_segments(seg: Dataset) -> tuple[int, ...]:
    """Segment numbers in the Segment Sequence; a label map may describe its background as 0."""
    try:
        numbers = tuple(int(item.SegmentNumber) for item in seg.get("SegmentSequence") or ())
    except (AttributeError, TypeError, ValueError) as error:
        raise MalformedSegmentationError("A segment has no number") from error
    segments = tuple(number for number in numbers if number > 0)
    if not segments:
        raise MalformedSegmentationError("The segmentation describes no segment")
    return segments


def _segment_number(seg: Dataset, index: int, numbers: Sequence[int]) -> int:
    """Referenced Segment Number (PS3.3 section C.8.20.3.1); a lone segment needs none."""
    for groups in _functional_groups(seg, index):
        for item in groups.get("SegmentIdentificationSequence") or ():
            number = item.get("ReferencedSegmentNumber")
            if number in numbers:
                return int(number)
            raise MalformedSegmentationError(
                f"Frame {index + 1} names segment {number}, which is not described"
            )
    if len(numbers) == 1:
        return numbers[0]
    raise MalformedSegmentationError(f"Frame {index + 1} does not say which segment it shows")


def _source(seg: Dataset, index: int) -> tuple[str, int] | None:
    """The first source image of a frame; a still's reference needs no frame number."""
    for groups in _functional_groups(seg, index):
        for derivation in groups.get("DerivationImageSequence") or ():
            for image in derivation.get("SourceImageSequence") or ():
                uid = image.get("ReferencedSOPInstanceUID")
                if uid:
                    return str(uid), _first_frame_number(image)
    return None


def _first_frame_number(reference: Dataset) -> int:
    value = reference.get("ReferencedFrameNumber")
    if value in (None, ""):
        return 1
    return int(value[0]) if isinstance(value, Sequence) else int(value)


def _functional_groups(seg: Dataset, index: int) -> Iterator[Dataset]:
    """The frame's own functional groups, then the shared ones (PS3.3 section C.7.6.16)."""
    per_frame = seg.get("PerFrameFunctionalGroupsSequence") or ()
    if index < len(per_frame):
        yield per_frame[index]
    yield from seg.get("SharedFunctionalGroupsSequence") or ()
