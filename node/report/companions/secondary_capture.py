"""The Secondary Capture companion: one summary picture a lesion (PS3.3 section A.8.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import SecondaryCaptureImageStorage

from node.report.fonts import printable_words
from node.report.header import add_series, patient_and_study
from node.report.request import ReportRequest
from node.report.summary import SIZE, SummaryPage, draw_summary
from node.report.translate import report_values
from sr_templates.values import LesionValues
from sr_templates.wording import banner, series_description

SERIES_NUMBER: Final = 9002


def secondary_captures(request: ReportRequest) -> Iterator[Dataset]:
    """Build one Secondary Capture for each lesion of the report, in its order."""
    values = report_values(request)
    bundle = request.bundle
    footer = (
        f"CRDL {request.software_version}   bundle {bundle.name} {bundle.version}   "
        f"sha256 {bundle.sha256[:12]}   {request.when:%Y-%m-%d %H:%M}"
    )
    pairs = zip(values.lesions, request.findings, strict=True)
    for number, (lesion, result) in enumerate(pairs, start=1):
        page = SummaryPage(
            lesion=lesion,
            evidence=result.evidence,
            number=number,
            simulated=bundle.simulated,
            prevalence=bundle.prevalence,
            footer=footer,
        )
        yield _secondary_capture(request, lesion, page)


def _secondary_capture(request: ReportRequest, lesion: LesionValues, page: SummaryPage) -> Dataset:
    dataset = patient_and_study(request)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = request.uids(f"sc-{page.number}")
    dataset.Modality = "OT"
    description = series_description("summary", simulated=request.bundle.simulated)
    add_series(dataset, request, "sc", SERIES_NUMBER, description)
    dataset.InstanceNumber = page.number
    source = lesion.source
    image = Dataset() if source is None else request.images[source.sop_instance_uid]
    if image.get("BodyPartExamined"):
        dataset.BodyPartExamined = image.BodyPartExamined
    dataset.Laterality = image.get("Laterality", "")
    dataset.PatientOrientation = ""
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ImageComments = banner(simulated=request.bundle.simulated)
    dataset.DerivationDescription = "Summary of the CRDL report with outline and caliper drawn in"
    if source is not None:
        item = Dataset()
        item.ReferencedSOPClassUID = source.sop_class_uid
        item.ReferencedSOPInstanceUID = source.sop_instance_uid
        if source.frame_number is not None:
            item.ReferencedFrameNumber = source.frame_number
        dataset.SourceImageSequence = Sequence([item])
    # NO only where the frame itself says that no identity is burned into it.
    clean = source is None or image.get("BurnedInAnnotation") == "NO"
    dataset.BurnedInAnnotation = "NO" if clean else "YES"
    dataset.LossyImageCompression = "00"
    with printable_words():
        _add_pixels(dataset, page)
    return dataset


def _add_pixels(dataset: Dataset, page: SummaryPage) -> None:
    dataset.Rows, dataset.Columns = SIZE, SIZE
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = draw_summary(page).tobytes()
