"""Nothing is sent that was not read again: the written bytes against the findings.

This reads plain DICOM with pydicom alone. It shares the code tables with the writer, and none of
the writer's translation: it starts from the findings themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Final

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from node.case import CaseResult, SemanticFinding
from node.errors import ReportError
from node.report.request import ReportObject, ReportRequest
from sr_templates.codes import Code, code, refusal_code
from sr_templates.equipment import is_ours
from sr_templates.features import Feature, features

_RELATIVE: Final = 1e-12  # Floating Point Value is a double
_COORDINATE: Final = 1e-3  # pixels; Graphic Data is a single
_SIMULATED: Final = "SIMULATED MODEL - NOT FOR DIAGNOSIS"
_RESEARCH: Final = "FOR RESEARCH USE ONLY"


class ReportCheckError(ReportError):
    """The written report does not say what the findings say."""


def check_report(report: tuple[ReportObject, ...], request: ReportRequest) -> None:
    """Read every object again and compare it with what it was built from.

    Raises:
        ReportCheckError: At the first difference, naming it.
    """
    for written in report:
        try:
            dataset = dcmread(BytesIO(written.data))
        except (InvalidDicomError, EOFError, OSError) as error:
            raise ReportCheckError(f"{written.kind}: cannot be read again: {error}") from error
        _check_header(dataset, written, request)
        if written.kind == "sr":
            _check_sr(dataset, request)
        else:
            _check_sc(dataset, request)


def _require(said: object, expected: object, what: str) -> None:
    if said != expected:
        raise ReportCheckError(f"{what}: the report says {said!r}, the findings {expected!r}")


def _check_header(dataset: Dataset, written: ReportObject, request: ReportRequest) -> None:
    _require(dataset.SOPClassUID, written.sop_class_uid, "SOP Class UID")
    _require(dataset.SOPInstanceUID, written.sop_instance_uid, "SOP Instance UID")
    _require(dataset.SeriesInstanceUID, written.series_instance_uid, "Series Instance UID")
    _require(dataset.StudyInstanceUID, request.seg.StudyInstanceUID, "Study Instance UID")
    known = {str(known.get("PatientID") or "") for known in (request.seg, *request.images.values())}
    _require(str(dataset.PatientID or "") in known, True, "Patient ID of the study")
    _require(dataset.SpecificCharacterSet, "ISO_IR 192", "Specific Character Set")
    if not is_ours(dataset.Manufacturer, dataset.ManufacturerModelName):
        raise ReportCheckError("the equipment is not ours, so a forwarded report would be read")
    marked = dataset.SeriesDescription.startswith(_SIMULATED)
    _require(marked, request.bundle.simulated, "simulated model in the series description")


def _check_sr(dataset: Dataset, request: ReportRequest) -> None:
    flags = (dataset.CompletionFlag, dataset.PreliminaryFlag, dataset.VerificationFlag)
    _require(flags, ("COMPLETE", "PRELIMINARY", "UNVERIFIED"), "flags")
    for item in _walk(dataset):
        if item.ValueType == "CONTAINER":
            _require(item.ContinuityOfContent, "SEPARATE", "Continuity Of Content")
    words = [item.TextValue for item in _named(_walk(dataset), code("comment"))]
    first = words[0] if words else ""
    _require(first.startswith(_SIMULATED), request.bundle.simulated, "simulated in the first text")
    _require(_RESEARCH in first, True, "research use only in the first text")
    parameters = [item.TextValue for item in _named(_walk(dataset), code("algorithm_parameters"))]
    named = any(request.bundle.sha256 in line for line in parameters)
    _require(named, True, "the bundle's SHA-256 among the algorithm parameters")
    _check_groups(dataset, request)
    _check_predecessor(dataset, request)


def _check_groups(dataset: Dataset, request: ReportRequest) -> None:
    groups = _named(_walk(dataset), code("measurement_group"))
    valued = [group for group in groups if _named(_children(group), _class_concept())]
    _require(len(valued), len(request.findings), "groups with a verdict")
    for group, result in zip(valued, request.findings, strict=True):
        _check_finding(group, result, request)
    drawn = [
        result
        for result in request.findings
        if len(result.evidence.outline) and result.evidence.frame is not None
    ]
    outlines = [item for item in _walk(dataset) if item.ValueType == "SCOORD"]
    _require(len(outlines), len(drawn), "outlines")
    for item, result in zip(outlines, drawn, strict=True):
        _check_outline(item, result, request)


def _check_outline(item: Dataset, result: CaseResult, request: ReportRequest) -> None:
    reference = item.ContentSequence[0].ReferencedSOPSequence[0]
    image = request.images[reference.ReferencedSOPInstanceUID]
    # SCOORD counts from the corner of the first pixel, arrays from its centre.
    expected = np.clip(result.evidence.outline + 0.5, 0, [image.Columns, image.Rows])
    points = np.asarray(item.GraphicData, dtype=np.float64).reshape(-1, 2)
    same = points.shape == expected.shape and np.allclose(points, expected, atol=_COORDINATE)
    _require(same, True, f"{result.case.name}: the outline as it was drawn")


def _class_concept() -> Code:
    return code("class_at_operating_point")


def _check_finding(group: Dataset, result: CaseResult, request: ReportRequest) -> None:
    finding, name, items = result.finding, result.case.name, _children(group)
    derived = request.uids(f"tracking-{result.case.segment_number}")
    expected_uid = result.case.tracking_uid or derived
    tracking = [item.UID for item in _named(items, code("tracking_unique_identifier"))]
    _require(tracking, [expected_uid], f"{name}: tracking UID")
    probabilities = [_number(item) for item in _named(items, code("probability_of_cancer"))]
    if finding.refusal is not None:
        _require(probabilities, [], f"{name}: probability of a refused case")
        _check_code(items, _class_concept(), code("not_assessed"), name)
        _check_code(items, code("reason_not_assessed"), refusal_code(finding.refusal.code), name)
        said = any(
            finding.refusal.text in item.TextValue for item in _named(items, code("comment"))
        )
        _require(said, True, f"{name}: what to do about the refusal")
    else:
        _check_numbers(probabilities, 100 * (finding.probability or 0.0), f"{name}: probability")
        _check_code(items, _class_concept(), code(finding.malignancy or ""), name)
    _check_frame(items, result)
    for row in features():
        if row.name in finding.semantic:
            _check_feature(items, row, finding.semantic[row.name], name)


def _check_feature(items: list[Dataset], row: Feature, found: SemanticFinding, name: str) -> None:
    what = f"{name}: {row.name}"
    silent = found.value is None or found.provenance == "not assessed"
    if row.kind == "code":
        answer = row.answer(None if silent else str(found.value))
        _check_code(items, code(row.concept), answer, what)
    else:
        numbers = [_number(item) for item in _named(items, code(row.concept))]
        _require(len(numbers), 0 if silent else 1, f"{what}: how often it is said")
        if found.value is not None and numbers:
            _check_numbers(numbers, float(found.value), what)
    for item in [] if silent else _named(items, code(row.concept)):
        said = _named(_children(item), code("provenance"))
        _require(len(said), 1, f"{what}: provenance")
        _check_code(said, code("provenance"), code(found.provenance), what)


def _check_frame(items: list[Dataset], result: CaseResult) -> None:
    """The references name the frame that was assessed and the SEG frame of its mask."""
    evidence = result.evidence
    for item in _named(items, code("source_image_for_segmentation")):
        reference = item.ReferencedSOPSequence[0]
        frame = evidence.frame
        _require(frame is not None, True, f"{result.case.name}: a source image")
        if frame is not None:
            said = (
                reference.ReferencedSOPInstanceUID,
                int(reference.get("ReferencedFrameNumber", 1)),
            )
            _require(said, (frame.sop_instance_uid, frame.frame_number), "assessed frame")
    for item in _named(items, code("referenced_segmentation_frame")):
        reference = item.ReferencedSOPSequence[0]
        said = (reference.ReferencedSOPInstanceUID, int(reference.ReferencedFrameNumber))
        _require(said, (result.case.seg_uid, evidence.seg_frame_number), "segmentation frame")


def _check_predecessor(dataset: Dataset, request: ReportRequest) -> None:
    said = [
        (part.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in dataset.get("PredecessorDocumentsSequence", ())
        for part in item.ReferencedSeriesSequence
    ]
    expected = [] if request.predecessor is None else [request.predecessor[1]]
    _require(said, expected, "predecessor documents")


def _check_sc(dataset: Dataset, request: ReportRequest) -> None:
    size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    _require(len(dataset.PixelData), size + size % 2, "length of the pixel data")
    sources = {item.ReferencedSOPInstanceUID for item in dataset.get("SourceImageSequence", ())}
    strangers = sources - set(request.images) - {request.seg.SOPInstanceUID}
    _require(strangers, set(), "source images of the summary")


def _check_numbers(said: list[float], expected: float, what: str) -> None:
    if len(said) != 1 or not np.isclose(said[0], expected, rtol=_RELATIVE, atol=0):
        raise ReportCheckError(f"{what}: the report says {said}, the findings {expected}")


def _check_code(items: list[Dataset], concept: Code, expected: Code, what: str) -> None:
    said = [_value(item.ConceptCodeSequence[0]) for item in _named(items, concept)]
    _require(said, [(expected.scheme, expected.value)], f"{what}: {concept.meaning}")


def _number(item: Dataset) -> float:
    """Read a NUM to the last digit, and see that its rounded form says the same."""
    measured = item.MeasuredValueSequence[0]
    exact, shown = float(measured.FloatingPointValue), str(measured.NumericValue)
    decimals = len(shown.partition(".")[2])
    _require(shown, f"{exact:.{decimals}f}", "Numeric Value beside Floating Point Value")
    return exact


def _value(item: Mapping[str, object] | Dataset) -> tuple[object, object]:
    value = item.get("CodeValue") or item.get("LongCodeValue")
    return item.get("CodingSchemeDesignator"), value


def _children(item: Dataset) -> list[Dataset]:
    return list(item.get("ContentSequence", ()))


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in _children(item):
        yield child
        yield from _walk(child)


def _named(items: Iterator[Dataset] | list[Dataset], concept: Code) -> list[Dataset]:
    wanted = (concept.scheme, concept.value)
    return [
        item
        for item in items
        if "ConceptNameCodeSequence" in item and _value(item.ConceptNameCodeSequence[0]) == wanted
    ]
