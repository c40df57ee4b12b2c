"""From the findings of one SEG generation to the objects that are delivered."""

from __future__ import annotations

from typing import cast

from pydicom.dataset import Dataset

from node.report.check import check_report
from node.report.companions import BUILDERS
from node.report.companions.check import check_companion
from node.report.document import sr_document
from node.report.header import part10
from node.report.request import ObjectKind, ReportObject, ReportRequest
from sr_templates.templates import load_templates, using


def build_report(request: ReportRequest) -> tuple[ReportObject, ...]:
    """Build the SR and its companions, and check what was written against the findings.

    The same request gives the same bytes.

    Args:
        request: Findings, headers, UIDs and settings.

    Returns:
        The SR first, then the companions that the settings ask for, kind by kind.

    Raises:
        ReportError: If the findings cannot be said in a report.
        ReportCheckError: If the written bytes do not say what the findings say.
    """
    with using(load_templates(request.settings.language, request.settings.templates)):
        documents = (_object("sr", sr_document(request)),)
        wanted = request.settings.companions
        companions = tuple(
            _object(cast("ObjectKind", kind), dataset)
            for kind, build in BUILDERS.items()
            if kind in wanted
            for dataset in build(request)
        )
        report = documents + companions
        check_report(tuple(one for one in report if one.kind in {"sr", "sc"}), request)
        for one in companions:
            check_companion(one, request)
    return report


def _object(kind: ObjectKind, dataset: Dataset) -> ReportObject:
    return ReportObject(
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        data=part10(dataset),
    )
