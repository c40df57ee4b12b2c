"""From the findings of one SEG generation to the objects that are delivered."""

from __future__ import annotations

from pydicom.dataset import Dataset

from node.report.check import check_report
from node.report.companions import secondary_captures
from node.report.document import sr_document
from node.report.header import part10
from node.report.request import ReportObject, ReportRequest
from sr_templates.templates import load_templates, using


def build_report(request: ReportRequest) -> tuple[ReportObject, ...]:
    """Build the SR and its companions, and check what was written against the findings.

    The same request gives the same bytes.

    Args:
        request: Findings, headers, UIDs and settings.

    Returns:
        The SR first, then one Secondary Capture a lesion if the settings ask for it.

    Raises:
        ReportError: If the findings cannot be said in a report.
        ReportCheckError: If the written bytes do not say what the findings say.
    """
    with using(load_templates(request.settings.language, request.settings.templates)):
        objects = [_object(sr_document(request))]
        if "sc" in request.settings.companions:
            objects.extend(_object(dataset) for dataset in secondary_captures(request))
        report = tuple(objects)
        check_report(report, request)
    return report


def _object(dataset: Dataset) -> ReportObject:
    return ReportObject(
        kind="sr" if dataset.Modality == "SR" else "sc",
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        data=part10(dataset),
    )
