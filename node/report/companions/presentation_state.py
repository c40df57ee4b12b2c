"""Outline and caliper as graphic annotations that a viewer lays over the assessed frame.

A Grayscale Softcopy Presentation State (PS3.3 section A.33.1) refers to grey images only; one on
a colour image is a Color Softcopy Presentation State (A.33.2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    GrayscaleSoftcopyPresentationStateStorage,
)

from node.report.companions.references import (
    Reference,
    add_companion_series,
    by_series,
    documents,
    image_of,
    instance_item,
)
from node.report.header import patient_and_study
from node.report.request import ReportRequest
from node.report.translate import report_values
from sr_templates.values import ImageReference, LesionValues
from sr_templates.wording import feature_value

_LAYER: Final = "CRDL"
_ICC_DATE: Final = slice(24, 36)  # ICC.1 section 7.2.8: when the profile was made
_OUTLINE_LAB: Final = (48000, 24000, 32000)  # CIELab as PS3.3 section C.10.7.1.1 scales it


def presentation_states(request: ReportRequest) -> Iterator[Dataset]:
    """Build one presentation state for each frame on which a lesion was outlined."""
    lesions: defaultdict[ImageReference, list[LesionValues]] = defaultdict(list)
    for lesion in report_values(request).lesions:
        if lesion.source is not None and (lesion.outline or lesion.caliper):
            lesions[lesion.source].append(lesion)
    for number, (source, drawn) in enumerate(lesions.items(), start=1):
        yield _presentation_state(request, number, source, drawn)


def _presentation_state(
    request: ReportRequest, number: int, source: ImageReference, lesions: Sequence[LesionValues]
) -> Dataset:
    image = request.images[source.sop_instance_uid]
    grey = str(image.PhotometricInterpretation).startswith("MONOCHROME")
    reference = image_of(request, source.sop_instance_uid, source.frame_number)
    dataset = patient_and_study(request)
    dataset.SOPClassUID = (
        GrayscaleSoftcopyPresentationStateStorage if grey else ColorSoftcopyPresentationStateStorage
    )
    dataset.SOPInstanceUID = request.uids(f"gsps-{number}")
    dataset.Modality = "PR"
    add_companion_series(dataset, request, "gsps")
    dataset.Laterality = ""
    dataset.InstanceNumber = number
    dataset.ContentLabel = _LAYER
    dataset.ContentDescription = documents()["text"]["gsps"]
    dataset.ContentCreatorName = ""
    dataset.PresentationCreationDate = dataset.ContentDate
    dataset.PresentationCreationTime = dataset.ContentTime
    # The time of making is Presentation Creation's; Content Date is no attribute of this IOD.
    del dataset.ContentDate, dataset.ContentTime
    dataset.ReferencedSeriesSequence = Items([_series(reference)])
    dataset.DisplayedAreaSelectionSequence = Items([_displayed_area(image, reference)])
    dataset.GraphicAnnotationSequence = Items([_annotation(reference, lesions)])
    dataset.GraphicLayerSequence = Items([_layer(grey=grey)])
    if grey:
        dataset.PresentationLUTShape = "IDENTITY"
    else:
        dataset.ICCProfile = _srgb()
    return dataset


def _series(reference: Reference) -> Dataset:
    """The frame that the state applies to (PS3.3 section C.11.11)."""
    ((uid, _),) = by_series([reference])
    item = Dataset()
    item.SeriesInstanceUID = uid
    item.ReferencedImageSequence = Items([instance_item(reference)])
    return item


def _displayed_area(image: Dataset, reference: Reference) -> Dataset:
    """The whole image (PS3.3 section C.10.4)."""
    item = Dataset()
    item.ReferencedImageSequence = Items([instance_item(reference)])
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [int(image.Columns), int(image.Rows)]
    item.PresentationSizeMode = "SCALE TO FIT"
    aspect = image.get("PixelAspectRatio")
    item.PresentationPixelAspectRatio = [1, 1] if not aspect else [int(part) for part in aspect]
    return item


def _annotation(reference: Reference, lesions: Sequence[LesionValues]) -> Dataset:
    """Graphics and texts in image coordinates (PS3.3 section C.10.5)."""
    item = Dataset()
    item.ReferencedImageSequence = Items([instance_item(reference)])
    item.GraphicLayer = _LAYER
    lines = [line for lesion in lesions for line in (lesion.outline, lesion.caliper) if line]
    item.GraphicObjectSequence = Items([_polyline(line) for line in lines])
    labels = [label for lesion in lesions if (label := _label(lesion)) is not None]
    if labels:
        item.TextObjectSequence = Items(labels)
    return item


def _polyline(points: Sequence[tuple[float, float]]) -> Dataset:
    """PIXEL units count as SCOORD does: the corner of the top left pixel is (0, 0)."""
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = [value for point in points for value in point]
    item.GraphicType = "POLYLINE"
    if points[0] == points[-1]:  # PS3.3 section C.10.5: required of a closed line
        item.GraphicFilled = "N"
    return item


def _label(lesion: LesionValues) -> Dataset | None:
    """The length beside the right end of the caliper."""
    found = next((one for one in lesion.semantic if one.name == "maximum_diameter"), None)
    if found is None or found.silent or not lesion.caliper:
        return None
    item = Dataset()
    item.AnchorPointAnnotationUnits = "PIXEL"
    item.UnformattedTextValue = feature_value(found)
    item.AnchorPoint = list(max(lesion.caliper))
    item.AnchorPointVisibility = "N"
    return item


def _layer(*, grey: bool) -> Dataset:
    item = Dataset()
    item.GraphicLayer = _LAYER
    item.GraphicLayerOrder = 1
    if grey:
        item.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
    else:
        item.GraphicLayerRecommendedDisplayCIELabValue = list(_OUTLINE_LAB)
    return item


@cache
def _srgb() -> bytes:
    """The sRGB profile; its date is fixed, so that the same request gives the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_ICC_DATE] = (2000).to_bytes(2) + (1).to_bytes(2) + (1).to_bytes(2) + bytes(6)
    return bytes(profile) + b"\0" * (len(profile) % 2)
