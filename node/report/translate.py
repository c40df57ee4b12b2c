"""From the node's findings to the report's vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.case import CaseResult, FrameReference
from node.errors import ReportError
from node.report.request import PriorAssessment, ReportRequest
from sr_templates.codes import Code
from sr_templates.errors import TemplateError
from sr_templates.features import features
from sr_templates.values import (
    AlgorithmValues,
    Assessment,
    ImageReference,
    LesionValues,
    NotAssessed,
    PriorValues,
    ReportValues,
    SemanticValue,
)
from sr_templates.wording import lesion_name

ALGORITHM_NAME: Final = "CRDL"
_SCHEME_LENGTH: Final = 16  # SH (PS3.5 section 6.2)
_MEANING_LENGTH: Final = 64  # LO


def report_values(request: ReportRequest) -> ReportValues:
    """Translate a request.

    Raises:
        ReportError: If a finding does not hold together.
    """
    bundle = request.bundle
    try:
        return ReportValues(
            title=request.settings.title,
            algorithm=AlgorithmValues(
                name=ALGORITHM_NAME,
                version=bundle.version,
                bundle_name=bundle.name,
                bundle_sha256=bundle.sha256,
                settings_sha256=bundle.settings_sha256,
                simulated=bundle.simulated,
                population=bundle.population,
                prevalence=bundle.prevalence,
            ),
            lesions=tuple(
                _lesion(request, number, result)
                for number, result in enumerate(request.findings, start=1)
            ),
            images=tuple(image_references(request)),
            device_uid=request.uids("device"),
            priors=_priors_of_no_lesion(request),
        )
    except TemplateError as error:
        raise ReportError(f"cannot say this in a report: {error}") from error


def image_references(request: ReportRequest) -> Iterator[ImageReference]:
    """Yield each image that the report rests on once, without frames, assessed ones first."""
    assessed = [result.evidence.frame for result in request.findings]
    doppler = [frame for result in request.findings for _, _, frame in result.case.doppler]
    uids = [frame.sop_instance_uid for frame in (*assessed, *doppler) if frame is not None]
    for uid in dict.fromkeys(uids):
        if uid in request.images:
            yield ImageReference(request.images[uid].SOPClassUID, uid)


def tracking_uid(request: ReportRequest, result: CaseResult) -> str:
    """Return the lesion's tracking UID: the segment's own, or one that the caller gives."""
    return result.case.tracking_uid or request.uids(f"tracking-{result.case.segment_number}")


def _lesion(request: ReportRequest, number: int, result: CaseResult) -> LesionValues:
    case, evidence = result.case, result.evidence
    source = _frame(request, evidence.frame)
    segmentation = None
    if source is not None and evidence.seg_frame_number is not None:
        segmentation = ImageReference(
            request.seg.SOPClassUID, request.seg.SOPInstanceUID, evidence.seg_frame_number
        )
    name = lesion_name(number, case.label)
    return LesionValues(
        name=name,
        tracking_identifier=case.tracking_id or case.label or name,
        tracking_uid=tracking_uid(request, result),
        verdict=_verdict(result),
        semantic=_semantic(result),
        source=source,
        segmentation=segmentation,
        outline=_points(request, source, evidence.outline),
        caliper=_caliper(request, source, result),
        finding_site=_anatomic_region(request.seg, case.segment_number),
        image_inferred=evidence.inferred or case.inferred,
        priors=_priors(request, result),
    )


def _verdict(result: CaseResult) -> Assessment | NotAssessed:
    finding, evidence = result.finding, result.evidence
    if finding.refusal is not None:
        return NotAssessed(finding.refusal.code, finding.refusal.text)
    probability, threshold, model = finding.probability, finding.threshold, finding.model
    if probability is None or threshold is None or model is None:
        raise ReportError(f"{finding.case}: an assessed finding lacks threshold or model")
    if (finding.malignancy is None) != bool(evidence.abstention):
        raise ReportError(f"{finding.case}: an assessed finding lacks class or abstention")
    return Assessment(
        probability=probability,
        malignancy=finding.malignancy or "indeterminate",
        threshold=threshold,
        model=model,
        sensitivity=evidence.sensitivity,
        specificity=evidence.specificity,
        fallback_reason=finding.fallback_reason,
        out_of_distribution=evidence.out_of_distribution,
        prior_shift=evidence.prior_shift,
        influences=evidence.influences,
        abstention=evidence.abstention,
    )


def _semantic(result: CaseResult) -> tuple[SemanticValue, ...]:
    reader = "" if result.case.reading is None else result.case.reading.reader
    return tuple(
        SemanticValue(
            name,
            found.value,
            found.unit,
            found.provenance,
            found.confidence,
            reader if found.provenance == "read" else "",
        )
        for name, found in result.finding.semantic.items()
    )


def _frame(request: ReportRequest, frame: FrameReference | None) -> ImageReference | None:
    if frame is None:
        return None
    image = request.images.get(frame.sop_instance_uid)
    if image is None:
        raise ReportError(f"the header of the assessed image {frame.sop_instance_uid} is missing")
    # Referenced Frame Number belongs to multi-frame images only (PS3.3 section 10.3).
    number = frame.frame_number if "NumberOfFrames" in image else None
    return ImageReference(image.SOPClassUID, image.SOPInstanceUID, number)


def _points(
    request: ReportRequest, source: ImageReference | None, points: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    """Shift from array indices to the corner-based coordinates of PS3.3 section C.18.6.1.1."""
    if source is None or len(points) == 0:
        return ()
    image = request.images[source.sop_instance_uid]
    limits = np.array([image.Columns, image.Rows], dtype=np.float64)
    shifted = np.clip(points + 0.5, 0.0, limits)
    return tuple((float(column), float(row)) for column, row in shifted)


def _caliper(
    request: ReportRequest, source: ImageReference | None, result: CaseResult
) -> tuple[tuple[float, float], ...]:
    """Return the end points of the diameter; those of a length that was read are not known."""
    ends = result.evidence.diameter
    drawn = {row.name for row in features() if row.caliper}
    measured = any(
        name in drawn and found.provenance == "measured" and found.value is not None
        for name, found in result.finding.semantic.items()
    )
    return () if ends is None or not measured else _points(request, source, ends)


def _priors(request: ReportRequest, result: CaseResult) -> tuple[PriorValues, ...]:
    own = tracking_uid(request, result)
    shift = result.evidence.prior_shift
    return _in_order(
        (prior, _comparable(request, prior) and prior.prior_shift == shift)
        for prior in request.priors
        if prior.tracking_uid == own
    )


def _priors_of_no_lesion(request: ReportRequest) -> tuple[PriorValues, ...]:
    known = {tracking_uid(request, result) for result in request.findings}
    return _in_order((prior, False) for prior in request.priors if prior.tracking_uid not in known)


def _comparable(request: ReportRequest, prior: PriorAssessment) -> bool:
    bundle = request.bundle
    return (prior.bundle_name, prior.bundle_version) == (bundle.name, bundle.version)


def _in_order(priors: Iterable[tuple[PriorAssessment, bool]]) -> tuple[PriorValues, ...]:
    """Translate earlier assessments, latest first, whatever their order."""
    ordered = sorted(priors, key=lambda one: (one[0].date, one[0].sop_instance_uid), reverse=True)
    return tuple(
        PriorValues(
            date=prior.date,
            probability=prior.probability,
            diameter_mm=prior.diameter_mm,
            bundle_name=prior.bundle_name,
            bundle_version=prior.bundle_version,
            comparable=comparable,
        )
        for prior, comparable in ordered
    )


def _anatomic_region(seg: Dataset, segment_number: int) -> Code | None:
    """Return the segment's own Anatomic Region (PS3.3 section C.8.20.4), if it is coded."""
    for segment in seg.get("SegmentSequence", ()):
        if segment.SegmentNumber == segment_number and segment.get("AnatomicRegionSequence"):
            item = segment.AnatomicRegionSequence[0]
            scheme = str(item.get("CodingSchemeDesignator") or "")
            value, meaning = str(item.get("CodeValue") or ""), str(item.get("CodeMeaning") or "")
            if scheme and value and meaning and len(scheme) <= _SCHEME_LENGTH:
                return Code(scheme, value, meaning[:_MEANING_LENGTH])
    return None
