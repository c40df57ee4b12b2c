"""The masks that were assessed, as a segmentation that viewers can lay over the image.

A *hybrid*: each frame refers to its source image, as a SEG on ultrasound must, and also carries
pixel measures from the ultrasound region and a synthetic frame of reference, which says so
(PS3.3 sections A.51, C.7.6.16.2, C.8.20.2). Viewers that place a SEG only in space, such as OHIF,
show it then. Written with pydicom: highdicom gives ultrasound clips no such frame of reference
and puts the clock and random UIDs in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sequence import Sequence as Items
from pydicom.uid import SegmentationStorage
from pydicom.valuerep import DSfloat

from models.errors import ModelsError
from models.imaging.geometry import pixel_geometry
from node.case import CaseResult
from node.report.companions.references import (
    Reference,
    add_companion_series,
    by_series,
    coded,
    documents,
    image_of,
    instance_item,
)
from node.report.header import patient_and_study
from node.report.request import ReportRequest
from node.report.translate import report_values
from sr_templates.values import LesionValues

_KEPT: Final = (
    "SegmentedPropertyCategoryCodeSequence",
    "SegmentedPropertyTypeCodeSequence",
    "SegmentedPropertyTypeModifierCodeSequence",
    "AnatomicRegionSequence",
    "SegmentAlgorithmType",
    "SegmentAlgorithmName",
    "RecommendedDisplayCIELabValue",
    "SegmentDescription",
)
_OUTLINE_LAB: Final = (51160, 20700, 31620)  # the outline's colour (PS3.3 section C.10.7.1.1)
_INDICES: Final = ((0x0062000B, 0x0062000A), (0x00200032, 0x00209113))  # segment, position


class _Mask(NamedTuple):
    lesion: LesionValues
    result: CaseResult
    pixels: NDArray[np.bool_]
    spacing: tuple[float, float]


def segmentations(request: ReportRequest) -> Iterator[Dataset]:
    """Build one segmentation for each assessed frame; a mask without a scale is left out."""
    frames: defaultdict[Reference, list[_Mask]] = defaultdict(list)
    pairs = zip(report_values(request).lesions, request.findings, strict=True)
    for lesion, result in pairs:
        pixels = request.masks.get(result.case.name)
        if lesion.source is None or pixels is None:
            continue
        try:
            image = request.images[lesion.source.sop_instance_uid]
            spacing = pixel_geometry(image, pixels).spacing
        except ModelsError:
            continue
        source = image_of(request, lesion.source.sop_instance_uid, lesion.source.frame_number)
        frames[source].append(_Mask(lesion, result, pixels, spacing))
    for number, (source, masks) in enumerate(frames.items(), start=1):
        yield _segmentation(request, number, source, masks)


def _segmentation(
    request: ReportRequest, number: int, source: Reference, masks: Sequence[_Mask]
) -> Dataset:
    dataset = patient_and_study(request)
    dataset.SOPClassUID = SegmentationStorage
    dataset.SOPInstanceUID = request.uids(f"seg-{number}")
    dataset.Modality = "SEG"
    add_companion_series(dataset, request, "seg")
    dataset.DeviceSerialNumber = request.uids("device")[-16:]
    dataset.FrameOfReferenceUID = request.uids(f"frame-of-reference-{number}")
    dataset.PositionReferenceIndicator = ""
    dataset.InstanceNumber = number
    dataset.ContentLabel = "CRDL"
    dataset.ContentDescription = documents()["text"]["seg"]
    dataset.ContentCreatorName = str(request.seg.get("ContentCreatorName") or "")
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.ImageComments = documents()["text"]["frame_of_reference"]
    dataset.SegmentationType = "BINARY"
    dataset.SegmentSequence = Items(
        [_segment(request, index, mask) for index, mask in enumerate(masks, start=1)]
    )
    _add_dimensions(dataset, request, number)
    _add_groups(dataset, source, masks)
    ((series_uid, items),) = by_series([source])
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = series_uid, Items(items)
    if request.images[source.sop_instance_uid].StudyInstanceUID == dataset.StudyInstanceUID:
        dataset.ReferencedSeriesSequence = Items([series])
    _add_pixels(dataset, [mask.pixels for mask in masks])
    return dataset


def _segment(request: ReportRequest, number: int, mask: _Mask) -> Dataset:
    """Describe a segment as the SEG that was sent does, its tracking kept."""
    case = mask.result.case
    item = Dataset()
    item.SegmentNumber = number
    item.SegmentLabel = (case.label or mask.lesion.name)[:64]
    item.TrackingID = mask.lesion.tracking_identifier
    item.TrackingUID = mask.lesion.tracking_uid
    item.SegmentedPropertyCategoryCodeSequence = Items([coded("category")])
    item.SegmentedPropertyTypeCodeSequence = Items([coded("type")])
    item.SegmentAlgorithmType = "SEMIAUTOMATIC"
    item.RecommendedDisplayCIELabValue = list(_OUTLINE_LAB)
    for sent in request.seg.get("SegmentSequence", ()):
        if sent.SegmentNumber == case.segment_number:
            for keyword in _KEPT:
                if sent.get(keyword):
                    item.add(sent[keyword])
    if item.SegmentAlgorithmType != "MANUAL" and "SegmentAlgorithmName" not in item:
        item.SegmentAlgorithmName = "as sent"
    return item


def _add_dimensions(dataset: Dataset, request: ReportRequest, number: int) -> None:
    """Index the frames by segment and position (PS3.3 section C.7.6.17)."""
    organisation = Dataset()
    organisation.DimensionOrganizationUID = request.uids(f"seg-dimensions-{number}")
    dataset.DimensionOrganizationSequence = Items([organisation])
    dataset.DimensionIndexSequence = Items()
    for pointer, group in _INDICES:
        index = Dataset()
        index.DimensionOrganizationUID = organisation.DimensionOrganizationUID
        index.DimensionIndexPointer, index.FunctionalGroupPointer = pointer, group
        dataset.DimensionIndexSequence.append(index)


def _add_groups(dataset: Dataset, source: Reference, masks: Sequence[_Mask]) -> None:
    orientation = Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared = Dataset()
    shared.PlaneOrientationSequence = Items([orientation])
    frames = [_group(number, source, mask) for number, mask in enumerate(masks, start=1)]
    if len({mask.spacing for mask in masks}) == 1:
        # One scale stands among the shared groups: OHIF looks for it there only.
        shared.PixelMeasuresSequence = frames[0].PixelMeasuresSequence
        for frame in frames:
            del frame.PixelMeasuresSequence
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.PerFrameFunctionalGroupsSequence = Items(frames)


def _group(number: int, source: Reference, mask: _Mask) -> Dataset:
    content, measures, position, segment = (Dataset() for _ in range(4))
    content.DimensionIndexValues = [number, 1]
    measures.PixelSpacing = [DSfloat(value, auto_format=True) for value in mask.spacing]
    measures.SliceThickness = DSfloat(max(mask.spacing), auto_format=True)
    position.ImagePositionPatient = [0, 0, 0]
    segment.ReferencedSegmentNumber = number
    image = instance_item(source)
    image.PurposeOfReferenceCodeSequence = Items([coded("source_image")])
    image.SpatialLocationsPreserved = "YES"
    derivation = Dataset()
    derivation.DerivationCodeSequence = Items([coded("segmentation")])
    derivation.SourceImageSequence = Items([image])
    group = Dataset()
    group.FrameContentSequence = Items([content])
    group.PixelMeasuresSequence = Items([measures])
    group.PlanePositionSequence = Items([position])
    group.SegmentIdentificationSequence = Items([segment])
    group.DerivationImageSequence = Items([derivation])
    return group


def _add_pixels(dataset: Dataset, masks: Sequence[NDArray[np.bool_]]) -> None:
    frames = np.stack(masks).astype(np.uint8)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = (int(size) for size in frames.shape)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    dataset.PixelRepresentation = 0
    dataset.LossyImageCompression = "00"
    # Frames follow one another without padding; the whole is padded to an even length.
    dataset.PixelData = pack_bits(frames.ravel(), pad=True)
