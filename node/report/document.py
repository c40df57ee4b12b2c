"""The SR document around the content tree (PS3.3 sections A.35.3 and A.35.13)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from node.errors import ReportError
from node.report.header import add_series, patient_and_study
from node.report.request import Predecessor, ReportRequest
from node.report.translate import image_references, report_values
from sr_templates.errors import TemplateError
from sr_templates.report import coding_scheme_items, measurement_report
from sr_templates.wording import series_description

SERIES_NUMBER: Final = 9001
SOP_CLASSES: Final = {
    "comprehensive3d": Comprehensive3DSRStorage,
    "comprehensive": ComprehensiveSRStorage,
}


def sr_document(request: ReportRequest) -> Dataset:
    """Build the SR of a request.

    It is COMPLETE (all findings are in it), PRELIMINARY and UNVERIFIED, always: no physician has
    seen it (PS3.3 section C.17.2).

    Raises:
        ReportError: If a finding cannot be said in the report's codes.
    """
    dataset = patient_and_study(request)
    dataset.SOPClassUID = SOP_CLASSES[request.settings.sop_class]
    dataset.SOPInstanceUID = request.uids("sr")
    dataset.Modality = "SR"
    description = series_description("report", simulated=request.bundle.simulated)
    add_series(dataset, request, "sr", SERIES_NUMBER, description)
    dataset.InstanceNumber = request.generation
    dataset.ReferencedPerformedProcedureStepSequence = Sequence()
    dataset.PerformedProcedureCodeSequence = Sequence()
    dataset.CompletionFlag = "COMPLETE"
    dataset.PreliminaryFlag = "PRELIMINARY"
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.CodingSchemeIdentificationSequence = Sequence(coding_scheme_items())
    _add_evidence(dataset, request)
    if request.predecessor is not None:
        superseded = _predecessor_item(Predecessor(*request.predecessor))
        dataset.PredecessorDocumentsSequence = Sequence([superseded])
    try:
        root = measurement_report(report_values(request))
    except TemplateError as error:
        raise ReportError(f"cannot say this in a report: {error}") from error
    dataset.update(root)
    return dataset


def _add_evidence(dataset: Dataset, request: ReportRequest) -> None:
    """List what the report rests on, apart for this study and others (PS3.3 section C.17.2.3)."""
    images = [request.images[ref.sop_instance_uid] for ref in image_references(request)]
    own: list[Dataset] = []
    other: list[Dataset] = []
    for instance in (*images, request.seg):
        same = instance.StudyInstanceUID == request.seg.StudyInstanceUID
        (own if same else other).append(instance)
    dataset.CurrentRequestedProcedureEvidenceSequence = Sequence(_evidence(own))
    if other:
        dataset.PertinentOtherEvidenceSequence = Sequence(_evidence(other))


def _evidence(instances: Iterable[Dataset]) -> Iterator[Dataset]:
    studies: defaultdict[str, defaultdict[str, list[Dataset]]]
    studies = defaultdict(lambda: defaultdict(list))
    for instance in instances:
        reference = _reference(instance.SOPClassUID, instance.SOPInstanceUID)
        studies[instance.StudyInstanceUID][instance.SeriesInstanceUID].append(reference)
    for study, series in studies.items():
        yield _study_item(study, series)


def _predecessor_item(predecessor: Predecessor) -> Dataset:
    reference = _reference(predecessor.sop_class_uid, predecessor.sop_instance_uid)
    series = {predecessor.series_instance_uid: [reference]}
    return _study_item(predecessor.study_instance_uid, series)


def _study_item(study: str, series: dict[str, list[Dataset]]) -> Dataset:
    """Build an item of the Hierarchical SOP Instance Reference Macro (PS3.3 table C.17-3)."""
    item = Dataset()
    item.StudyInstanceUID = study
    item.ReferencedSeriesSequence = Sequence()
    for series_uid, references in series.items():
        part = Dataset()
        part.SeriesInstanceUID = series_uid
        part.ReferencedSOPSequence = Sequence(references)
        item.ReferencedSeriesSequence.append(part)
    return item


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item
