"""The report of a study: HTML, PDF, figures and tables, from one frozen result."""

from models.study.report.write import write_report

__all__ = ["write_report"]
