"""What the report cannot do."""

from models.errors import ModelsError


class ReportError(ModelsError):
    """The study's report cannot be written; the message says what is missing."""


class PdfError(ReportError):
    """The PDF cannot be made, because a system library is missing; the HTML report is there."""
