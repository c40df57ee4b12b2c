"""The companions are read again before they are sent, each against what it was built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Final

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.imaging.masks import read_masks
from node.report.differences import ReportCheckError, require
from node.report.request import ReportObject, ReportRequest
from node.report.translate import report_values
from sr_templates.equipment import is_ours
from sr_templates.words import say

_MODALITIES: Final = {"sc": "OT", "pdf": "DOC", "seg": "SEG", "gsps": "PR", "ko": "KO"}
_TOLERANCE_PX: Final = 1e-3  # Graphic Data is FL


def check_companion(written: ReportObject, request: ReportRequest) -> None:
    """Read a companion again and compare it with the request.

    Raises:
        ReportCheckError: At the first difference, naming it.
    """
    dataset = dcmread(BytesIO(written.data))
    require(dataset.SOPInstanceUID, written.sop_instance_uid, f"{written.kind}: SOP Instance UID")
    require(dataset.Modality, _MODALITIES[written.kind], f"{written.kind}: Modality")
    study = request.seg.StudyInstanceUID
    require(dataset.StudyInstanceUID, study, f"{written.kind}: Study Instance UID")
    if not is_ours(dataset.Manufacturer, dataset.ManufacturerModelName):
        raise ReportCheckError(f"{written.kind}: the equipment is not ours")
    marked = dataset.SeriesDescription.startswith(say("banner", "simulated"))
    require(marked, request.bundle.simulated, f"{written.kind}: simulated model in the description")
    strangers = _referred(dataset) - _known(request)
    require(strangers, set(), f"{written.kind}: objects that it refers to")
    check = _CHECKS.get(written.kind)
    if check is not None:
        check(dataset, request)


def _referred(dataset: Dataset) -> set[str]:
    keyword = "ReferencedSOPInstanceUID"
    return {str(element.value) for element in dataset.iterall() if element.keyword == keyword}


def _known(request: ReportRequest) -> set[str]:
    return {request.seg.SOPInstanceUID, request.uids("sr"), *request.images}


def _check_presentation_state(dataset: Dataset, request: ReportRequest) -> None:
    """Every line that is drawn is an outline or a caliper of the findings, to the pixel."""
    lesions = report_values(request).lesions
    lines = [np.array(line) for one in lesions for line in (one.outline, one.caliper) if line]
    for annotation in dataset.GraphicAnnotationSequence:
        for graphic in annotation.GraphicObjectSequence:
            points = np.array(graphic.GraphicData, dtype=np.float64).reshape(-1, 2)
            same = any(
                line.shape == points.shape and np.allclose(line, points, atol=_TOLERANCE_PX)
                for line in lines
            )
            require(same, True, "gsps: a line that was measured")


def _check_segmentation(dataset: Dataset, request: ReportRequest) -> None:
    """Every segment holds the mask that was assessed, under the lesion's tracking UID."""
    expected = {
        lesion.tracking_uid: request.masks[result.case.name]
        for lesion, result in zip(report_values(request).lesions, request.findings, strict=True)
        if result.case.name in request.masks
    }
    tracked = {item.SegmentNumber: item.TrackingUID for item in dataset.SegmentSequence}
    for mask in read_masks(dataset):
        meant = expected.get(tracked[mask.segment_number])
        same = meant is not None and np.array_equal(mask.mask, meant)
        require(same, True, f"seg: the mask of segment {mask.segment_number}")


def _check_pdf(dataset: Dataset, request: ReportRequest) -> None:
    del request
    document = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
    whole = document.startswith(b"%PDF-") and document.rstrip().endswith(b"%%EOF")
    require(whole, True, "pdf: a complete document")


def _check_key_object(dataset: Dataset, request: ReportRequest) -> None:
    require(request.uids("sr") in _referred(dataset), True, "ko: the report")


_CHECKS: Final[Mapping[str, Callable[[Dataset, ReportRequest], None]]] = {
    "pdf": _check_pdf,
    "seg": _check_segmentation,
    "gsps": _check_presentation_state,
    "ko": _check_key_object,
}
