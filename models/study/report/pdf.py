"""The report as PDF, from the same HTML (WeasyPrint, which needs Pango)."""

from __future__ import annotations

import hashlib
from importlib import import_module

from models.study.report.errors import PdfError


def render_pdf(html: str) -> bytes:
    """Print the report on A4.

    Args:
        html: The whole document; it refers to nothing outside itself.

    Returns:
        The PDF, the same bytes for the same HTML on one machine: its identifier is the hash of
        the HTML and it carries no date.

    Raises:
        PdfError: Pango is not installed.
    """
    try:
        weasyprint = import_module("weasyprint")
    except OSError as error:  # WeasyPrint opens the libraries when it is imported
        raise PdfError(
            "no PDF: Pango is missing. Install it (Debian: apt-get install libpango-1.0-0 "
            "libpangoft2-1.0-0 libharfbuzz-subset0), or print report.html from a browser"
        ) from error
    identifier = hashlib.sha256(html.encode()).digest()[:16]
    # Nothing but what lies inside the document is ever fetched.
    inside = weasyprint.URLFetcher(allowed_protocols=("data",), fail_on_errors=True)
    return bytes(
        weasyprint.HTML(string=html, url_fetcher=inside).write_pdf(pdf_identifier=identifier)
    )
