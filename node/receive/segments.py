"""The segments of a SEG with the frames they lie on (PS3.3 sections A.51 and A.91)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from node.case import FrameReference, SegmentHeader
from node.receive import attributes as read

_Sources = dict[FrameReference, None]  # in order, each once


def segments(dataset: Dataset) -> tuple[SegmentHeader, ...]:
    """Read the Segment Sequence and find each segment's source frames.

    Per frame, the sources are those of Derivation Image (PS3.3 section C.7.6.16.2.6) and the
    segment is that of Segment Identification (section C.8.20.2.2), each in the frame's own or in
    the shared functional groups. A label map frame belongs to every described segment. A SEG
    without any derivation that lists exactly one instance under Referenced Series lies on it.
    """
    described = list(read.items(dataset, "SegmentSequence"))
    numbers = [read.integer(item, "SegmentNumber", 0) for item in described]
    sources = _sources_by_segment(dataset, numbers)
    return tuple(
        _segment(item, number, sources.get(number, {}))
        for item, number in zip(described, numbers, strict=True)
        # Segment 0 is the background of a label map (PS3.3 section C.8.20.2.3.3).
        if number > 0
    )


def _segment(item: Dataset, number: int, sources: Iterable[FrameReference]) -> SegmentHeader:
    return SegmentHeader(
        number=number,
        label=read.text(item, "SegmentLabel"),
        tracking_uid=read.uid(item, "TrackingUID"),
        tracking_id=read.text(item, "TrackingID"),
        category=read.code(item, "SegmentedPropertyCategoryCodeSequence"),
        type=read.code(item, "SegmentedPropertyTypeCodeSequence"),
        anatomic_region=read.code(item, "AnatomicRegionSequence"),
        sources=tuple(sources),
    )


def _sources_by_segment(dataset: Dataset, numbers: list[int]) -> dict[int, _Sources]:
    shared = next(read.items(dataset, "SharedFunctionalGroupsSequence"), Dataset())
    label_map = read.text(dataset, "SegmentationType").upper() == "LABELMAP"
    found: dict[int, _Sources] = {number: {} for number in numbers}
    for frame in read.items(dataset, "PerFrameFunctionalGroupsSequence"):
        references = tuple(_derivation(frame)) or tuple(_derivation(shared))
        concerned = numbers if label_map else _identified(frame) or _identified(shared)
        for number in concerned:
            found.setdefault(number, {}).update(dict.fromkeys(references))
    if not any(found.values()):
        whole = tuple(dict.fromkeys(_derivation(shared))) or _only_referenced(dataset)
        found = {number: dict.fromkeys(whole) for number in numbers}
    return found


def _identified(group: Dataset) -> tuple[int, ...]:
    return tuple(
        number
        for item in read.items(group, "SegmentIdentificationSequence")
        for number in read.integers(item, "ReferencedSegmentNumber")
    )


def _derivation(group: Dataset) -> Iterator[FrameReference]:
    for derivation in read.items(group, "DerivationImageSequence"):
        for source in read.items(derivation, "SourceImageSequence"):
            uid = read.uid(source, "ReferencedSOPInstanceUID")
            # Absent means all frames (PS3.3 section 10.3), which for a still is frame 1.
            for number in read.integers(source, "ReferencedFrameNumber") or (1,):
                if uid and number:
                    yield FrameReference(uid, number)


def _only_referenced(dataset: Dataset) -> tuple[FrameReference, ...]:
    listed = {
        read.uid(instance, "ReferencedSOPInstanceUID")
        for series in read.items(dataset, "ReferencedSeriesSequence")
        for instance in read.items(series, "ReferencedInstanceSequence")
    } - {""}
    return (FrameReference(listed.pop()),) if len(listed) == 1 else ()
