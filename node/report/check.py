"""Nothing is sent that was not read again: the written bytes against the findings.

This reads plain DICOM with pydicom alone. It shares the tables of codes and words with the
writer, and none of the writer's translation: it starts from the findings themselves.
"""

from __future__ import annotations

from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from node.report.check_lesion import check_lesions
from node.report.differences import ReportCheckError, require, require_code
from node.report.request import ReportObject, ReportRequest
from node.report.tree import children, texts, walk
from sr_templates.codes import code
from sr_templates.equipment import is_ours
from sr_templates.templates import table
from sr_templates.words import percent, say

__all__ = ["ReportCheckError", "check_report"]


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


def _check_header(dataset: Dataset, written: ReportObject, request: ReportRequest) -> None:
    require(dataset.SOPClassUID, written.sop_class_uid, "SOP Class UID")
    require(dataset.SOPInstanceUID, written.sop_instance_uid, "SOP Instance UID")
    require(dataset.SeriesInstanceUID, written.series_instance_uid, "Series Instance UID")
    require(dataset.StudyInstanceUID, request.seg.StudyInstanceUID, "Study Instance UID")
    known = {str(known.get("PatientID") or "") for known in (request.seg, *request.images.values())}
    require(str(dataset.PatientID or "") in known, True, "Patient ID of the study")
    require(dataset.SpecificCharacterSet, "ISO_IR 192", "Specific Character Set")
    if not is_ours(dataset.Manufacturer, dataset.ManufacturerModelName):
        raise ReportCheckError("the equipment is not ours, so a forwarded report would be read")
    marked = dataset.SeriesDescription.startswith(say("banner", "simulated"))
    require(marked, request.bundle.simulated, "simulated model in the series description")


def _check_sr(dataset: Dataset, request: ReportRequest) -> None:
    flags = (dataset.CompletionFlag, dataset.PreliminaryFlag, dataset.VerificationFlag)
    require(flags, ("COMPLETE", "PRELIMINARY", "UNVERIFIED"), "flags")
    for item in walk(dataset):
        if item.ValueType == "CONTAINER":
            require(item.ContinuityOfContent, "SEPARATE", "Continuity Of Content")
    language = code(table("wording.toml")["language"]["code"])
    require_code(children(dataset), code("language"), language, "the report")
    _check_words(dataset, request)
    check_lesions(dataset, request)
    _check_predecessor(dataset, request)


def _check_words(dataset: Dataset, request: ReportRequest) -> None:
    """The warning comes first; bundle, population and prevalence are all named."""
    bundle, words = request.bundle, texts(walk(dataset), code("comment"))
    first = words[0] if words else ""
    simulated = first.startswith(say("banner", "simulated"))
    require(simulated, bundle.simulated, "simulated in the first text")
    require(say("banner", "research") in first, True, "research use only in the first text")
    population = bundle.population.rstrip(".")
    told = any(population in line and percent(bundle.prevalence) in line for line in words)
    require(told, True, "training population and prevalence")
    parameters = texts(walk(dataset), code("algorithm_parameters"))
    for rested in (bundle.sha256, bundle.settings_sha256, population, repr(bundle.prevalence)):
        named_so = any(rested in line for line in parameters)
        require(named_so, True, f"{rested} among the algorithm parameters")
    version = texts(walk(dataset), code("algorithm_version"))
    require(version, [bundle.version], "algorithm version")


def _check_predecessor(dataset: Dataset, request: ReportRequest) -> None:
    said = [
        (part.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in dataset.get("PredecessorDocumentsSequence", ())
        for part in item.ReferencedSeriesSequence
    ]
    expected = [] if request.predecessor is None else [request.predecessor[1]]
    require(said, expected, "predecessor documents")


def _check_sc(dataset: Dataset, request: ReportRequest) -> None:
    size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    require(len(dataset.PixelData), size + size % 2, "length of the pixel data")
    sources = {item.ReferencedSOPInstanceUID for item in dataset.get("SourceImageSequence", ())}
    strangers = sources - set(request.images) - {request.seg.SOPInstanceUID}
    require(strangers, set(), "source images of the summary")
