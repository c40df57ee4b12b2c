"""The report as a document for people: an Encapsulated PDF (PS3.3 section A.45.1)."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EncapsulatedPDFStorage

from node.report.companions.pdf_page import PdfHeading, PdfLesion, draw_pdf
from node.report.companions.references import (
    add_companion_series,
    coded,
    documents,
    image_of,
    instance_item,
)
from node.report.fonts import printable_words
from node.report.header import patient_and_study
from node.report.request import ReportRequest
from node.report.translate import report_values
from sr_templates.wording import banner, prevalence


def encapsulated_pdf(request: ReportRequest) -> Iterator[Dataset]:
    """Build one document with a page a lesion; the patient's name stands on each."""
    dataset = patient_and_study(request)
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.SOPInstanceUID = request.uids("pdf")
    dataset.Modality = "DOC"
    add_companion_series(dataset, request, "pdf")
    dataset.InstanceNumber = request.generation
    dataset.ConversionType = "WSD"
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "YES"
    dataset.DocumentTitle = documents()["text"]["pdf"]
    dataset.ConceptNameCodeSequence = Sequence([coded("document")])
    sources = [lesion.source for lesion in report_values(request).lesions]
    named = [
        image_of(request, source.sop_instance_uid, source.frame_number)
        for source in dict.fromkeys(sources)
        if source is not None
    ]
    if named:
        dataset.SourceInstanceSequence = Sequence([instance_item(one) for one in named])
        for item in dataset.SourceInstanceSequence:
            # An instance is the source here: Referenced Frame Number is no part of this macro.
            if "ReferencedFrameNumber" in item:
                del item.ReferencedFrameNumber
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    with printable_words():
        document = draw_pdf(_heading(request, dataset), _lesions(request), request.when)
    dataset.EncapsulatedDocumentLength = len(document)
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    yield dataset


def _heading(request: ReportRequest, dataset: Dataset) -> PdfHeading:
    bundle = request.bundle
    name = dataset.PatientName
    groups = (name.alphabetic, name.ideographic) if name else ()
    return PdfHeading(
        warning=banner(simulated=bundle.simulated),
        patient=tuple(str(group).replace("^", " ").strip() for group in groups if group),
        patient_id=str(dataset.PatientID or ""),
        birth_date=_day(str(dataset.PatientBirthDate or "")),
        study_date=_day(str(dataset.StudyDate or "")),
        accession_number=str(dataset.AccessionNumber or ""),
        closing=prevalence(report_values(request).algorithm),
        footer=(
            f"CRDL {request.software_version}   bundle {bundle.name} {bundle.version}   "
            f"sha256 {bundle.sha256[:12]}   {request.when:%Y-%m-%d %H:%M}"
        ),
    )


def _lesions(request: ReportRequest) -> list[PdfLesion]:
    pairs = zip(report_values(request).lesions, request.findings, strict=True)
    return [PdfLesion(lesion, result.evidence) for lesion, result in pairs]


def _day(value: str) -> str:
    """Print a DA value as ISO 8601; anything else as it is."""
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 else value
