"""Write the report of a study into a folder."""

from __future__ import annotations

from pathlib import Path

from models.study.report.derived import csv_tables
from models.study.report.errors import ReportError
from models.study.report.figures import draw_all, standalone
from models.study.report.html import render_html
from models.study.report.pdf import render_pdf
from models.study.report.view import View
from models.study.results import StudyResult
from models.study.tables_csv import write_tables

_NOT_AS_CSV = {"cost"}
"""Differs from run to run; everything under tables/ is the same for the same input."""


def write_report(result: StudyResult, out: Path) -> tuple[Path, ...]:
    """Write report.html, report.pdf, tables/*.csv and figures/*.svg and *.png.

    The same result gives the same bytes. Everything else is written before the PDF, so that a
    missing system library costs the PDF alone.

    Args:
        result: What the study found.
        out: Folder, made if it is not there.

    Returns:
        The files written.

    Raises:
        ReportError: The folder cannot be written.
        PdfError: Pango is not installed; all other files are there.
    """
    try:
        return _write(result, out)
    except OSError as error:
        raise ReportError(f"the report cannot be written to {out}: {error.strerror}") from error


def _write(result: StudyResult, out: Path) -> tuple[Path, ...]:
    view = View(result)
    drawings = draw_all(view)
    html = render_html(result, drawings)
    page = out / "report.html"
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8", newline="\n")
    written = [page]
    for drawing in drawings.values():
        vector, raster = figures / f"{drawing.name}.svg", figures / f"{drawing.name}.png"
        vector.write_text(standalone(drawing), encoding="utf-8", newline="\n")
        raster.write_bytes(drawing.png)
        written += [vector, raster]
    tables = [table for table in csv_tables(view) if table.name not in _NOT_AS_CSV]
    written += write_tables(tables, out / "tables")
    paper = out / "report.pdf"
    paper.write_bytes(render_pdf(html))
    return (*written, paper)
