"""The report: the SR and its companions, built from the findings of one SEG generation."""

from node.report.build import build_report
from node.report.check import ReportCheckError, check_report
from node.report.request import PriorAssessment, ReportedBundle, ReportObject, ReportRequest

__all__ = [
    "PriorAssessment",
    "ReportCheckError",
    "ReportObject",
    "ReportRequest",
    "ReportedBundle",
    "build_report",
    "check_report",
]
