"""Every value that a written report says about its lesions, against the findings."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.case import CaseResult, SemanticFinding
from node.report.differences import require, require_code, require_number
from node.report.request import PriorAssessment, ReportRequest
from node.report.tree import children, named, points, texts, walk
from sr_templates.codes import code, refusal_code
from sr_templates.features import Feature, features
from sr_templates.values import person_value
from sr_templates.words import percent

_COORDINATE: Final = 1e-3  # pixels; Graphic Data is a single


def check_lesions(dataset: Dataset, request: ReportRequest) -> None:
    """Compare the groups of a written tree with the findings, in their order.

    Raises:
        ReportCheckError: At the first difference, naming it.
    """
    groups = named(walk(dataset), code("measurement_group"))
    verdict = code("class_at_operating_point")
    valued = [group for group in groups if named(children(group), verdict)]
    require(len(valued), len(request.findings), "groups with a verdict")
    parameters = texts(walk(dataset), code("algorithm_parameters"))
    for group, result in zip(valued, request.findings, strict=True):
        _check_verdict(children(group), result)
        if result.finding.status == "assessed":
            _check_grounds(children(group), result, parameters)
        _check_references(children(group), result, request)
        for row in features():
            if row.name in result.finding.semantic:
                _check_feature(children(group), row, result, request)
    drawn = [
        result
        for result in request.findings
        if len(result.evidence.outline) and result.evidence.frame is not None
    ]
    outlines = named(walk(dataset), code("image_region"))
    require(len(outlines), len(drawn), "outlines")
    for item, result in zip(outlines, drawn, strict=True):
        what = f"{result.case.name}: the outline as it was drawn"
        _check_points(item, result.evidence.outline, request, what)
    _check_priors(dataset, groups, request)


def _check_verdict(items: list[Dataset], result: CaseResult) -> None:
    finding, evidence, name = result.finding, result.evidence, result.case.name
    said = texts(items, code("comment"))
    concept, probability = code("class_at_operating_point"), code("probability_of_cancer")
    if finding.refusal is not None:
        require_number(items, probability, None, name)
        require_code(items, concept, code("not_assessed"), name)
        require_code(items, code("reason_not_assessed"), refusal_code(finding.refusal.code), name)
        told = any(finding.refusal.text in line for line in said)
        require(told, True, f"{name}: why it is refused")
        return
    require_number(items, probability, 100 * (finding.probability or 0.0), name)
    require_code(items, concept, code(finding.malignancy or "indeterminate"), name)
    abstained = not evidence.abstention or any(evidence.abstention in line for line in said)
    require(abstained, True, f"{name}: why there is no class")
    (verdict,) = named(items, concept)
    shares = {
        "operating_point": finding.threshold,
        "sensitivity": evidence.sensitivity,
        "specificity": evidence.specificity,
    }
    for share, expected in shares.items():
        scaled = None if expected is None else 100 * expected
        require_number(children(verdict), code(share), scaled, name)


def _check_grounds(items: list[Dataset], result: CaseResult, parameters: list[str]) -> None:
    """Compare what the score rests on: model, fallback, prior shift and influences."""
    finding, evidence, name = result.finding, result.evidence, result.case.name
    said = texts(items, code("comment"))
    for words in (finding.model, finding.fallback_reason.rstrip(".")):
        require(any((words or "") in line for line in said), True, f"{name}: {words}")
    rested = [repr(finding.threshold), finding.model or ""]
    if evidence.prior_shift is not None:
        rested.append(repr(evidence.prior_shift))
    rested.extend(f"{feature} {float(share)!r}" for feature, share in evidence.influences)
    for value in rested:
        told = any(line.endswith(value) for line in parameters)
        require(told, True, f"{name}: {value} among the algorithm parameters")
    for _, share in evidence.influences:
        told = any(f"{share:+.2f}" in line for line in said)
        require(told, True, f"{name}: an influence of {share:+.2f} in words")


def _check_feature(
    items: list[Dataset], row: Feature, result: CaseResult, request: ReportRequest
) -> None:
    found = result.finding.semantic[row.name]
    concept, what = code(row.concept), f"{result.case.name}: {row.name}"
    silent = found.value is None or found.provenance == "not assessed"
    if row.kind == "code":
        answer = row.answer(None if silent else str(found.value))
        require_code(items, concept, answer, what)
    else:
        number = None if silent or found.value is None else float(found.value)
        require_number(items, concept, number, what)
    for item in [] if silent else named(items, concept):
        require_code(children(item), code("provenance"), code(found.provenance), what)
        _check_reader(item, found, result, what)
        _check_caliper(item, row, found, result, request)


def _check_reader(item: Dataset, found: SemanticFinding, result: CaseResult, what: str) -> None:
    """What a named person read says who it was, and nothing else does."""
    reading = result.case.reading
    reader = "" if reading is None or found.provenance != "read" else person_value(reading.reader)
    said = [str(entry.PersonName) for entry in named(children(item), code("person_observer_name"))]
    require(said, [reader] if reader else [], f"{what}: who read it")


def _check_caliper(
    item: Dataset, row: Feature, found: SemanticFinding, result: CaseResult, request: ReportRequest
) -> None:
    ends = result.evidence.diameter
    paths = named(children(item), code("path"))
    seen = result.evidence.frame is not None
    drawn = row.caliper and found.provenance == "measured" and ends is not None and seen
    require(len(paths), 1 if drawn else 0, f"{result.case.name}: end points of {row.name}")
    if ends is not None:
        for path in paths:
            _check_points(path, ends, request, f"{result.case.name}: the end points of {row.name}")


def _check_points(
    item: Dataset, drawn: NDArray[np.float64], request: ReportRequest, what: str
) -> None:
    reference = item.ContentSequence[0].ReferencedSOPSequence[0]
    image = request.images[reference.ReferencedSOPInstanceUID]
    # SCOORD counts from the corner of the first pixel, arrays from its centre.
    expected = np.clip(drawn + 0.5, 0, [image.Columns, image.Rows])
    said = points(item)
    same = said.shape == expected.shape and np.allclose(said, expected, atol=_COORDINATE)
    require(same, True, what)


def _check_references(items: list[Dataset], result: CaseResult, request: ReportRequest) -> None:
    """The tracking UID, the frame that was assessed and the SEG frame of its mask."""
    evidence, name = result.evidence, result.case.name
    derived = request.uids(f"tracking-{result.case.segment_number}")
    tracking = [item.UID for item in named(items, code("tracking_unique_identifier"))]
    require(tracking, [result.case.tracking_uid or derived], f"{name}: tracking UID")
    for item in named(items, code("source_image_for_segmentation")):
        reference, frame = item.ReferencedSOPSequence[0], evidence.frame
        number = int(reference.get("ReferencedFrameNumber", 1))
        said = (reference.ReferencedSOPInstanceUID, number)
        known = None if frame is None else (frame.sop_instance_uid, frame.frame_number)
        require(said, known, f"{name}: assessed frame")
    for item in named(items, code("referenced_segmentation_frame")):
        reference = item.ReferencedSOPSequence[0]
        said = (reference.ReferencedSOPInstanceUID, int(reference.ReferencedFrameNumber))
        require(said, (result.case.seg_uid, evidence.seg_frame_number), f"{name}: mask's frame")


def _check_priors(dataset: Dataset, groups: list[Dataset], request: ReportRequest) -> None:
    """Each earlier assessment is told with its lesion, or with none."""
    known = {
        str(item.UID): texts(children(group), code("comment"))
        for group in reversed(groups)  # the first group of a lesion says everything
        for item in named(children(group), code("tracking_unique_identifier"))
    }
    everything = texts(walk(dataset), code("comment"))
    for prior in request.priors:
        said = known.get(prior.tracking_uid, everything)
        told = any(_tells(line, prior) for line in said)
        require(told, True, f"the earlier report of {prior.date.isoformat()}")


def _tells(line: str, prior: PriorAssessment) -> bool:
    length = "" if prior.diameter_mm is None else f"{prior.diameter_mm:.1f}"
    return all(
        part in line for part in (prior.date.isoformat(), percent(prior.probability), length)
    )
