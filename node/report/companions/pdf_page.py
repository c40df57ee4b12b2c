"""The pages of the PDF: one a lesion, A4, with embedded type; plain text and no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos
from PIL import Image

from node.case import Evidence
from node.report.fonts import font_path, printable
from node.report.frame_panel import draw_frame
from sr_templates.features import features
from sr_templates.values import Assessment, LesionValues, NotAssessed
from sr_templates.wording import (
    caveats,
    feature_label,
    feature_value,
    lesion_remarks,
    percent,
    say,
    verdict,
)

_LEFT: Final = 16.0  # mm, as all lengths here
_RIGHT: Final = 194.0
_FRAME: Final = (1424, 800)  # pixels of the picture, for 178 x 100 mm: 203 a inch
_INK: Final = (24, 29, 36)
_MUTED: Final = (96, 106, 120)
_RULE: Final = (214, 219, 226)
_AMBER: Final = (242, 179, 61)
_TRACK: Final = (226, 230, 236)
_CLASS: Final = {
    "malignant": (196, 52, 58),
    "benign": (34, 128, 80),
    "indeterminate": (110, 120, 134),
}
_TYPE: Final = "body"


@dataclass(frozen=True, slots=True)
class PdfHeading:
    """What every page says.

    Attributes:
        warning: The banner.
        patient: The patient's name, alphabetic and ideographic, those that there are.
        closing: The sentence about training prevalence and population.
        footer: Software and bundle.
    """

    warning: str
    patient: tuple[str, ...]
    patient_id: str
    birth_date: str
    study_date: str
    accession_number: str
    closing: str
    footer: str


@dataclass(frozen=True, slots=True)
class PdfLesion:
    """One page: a lesion and the picture it was assessed on."""

    lesion: LesionValues
    evidence: Evidence


def draw_pdf(heading: PdfHeading, lesions: Sequence[PdfLesion], when: datetime) -> bytes:
    """Draw the document; the same arguments give the same bytes."""
    pdf = FPDF(format="A4")
    pdf.set_creation_date(when)
    pdf.set_title(heading.warning)
    pdf.set_creator("CRDL node")
    pdf.set_auto_page_break(auto=True, margin=22)
    pdf.c_margin = 0
    pdf.set_margins(_LEFT, 14, 210 - _RIGHT)
    for style, face in (("", "regular"), ("B", "bold")):
        pdf.add_font(_TYPE, style, font_path(face))
    for number, page in enumerate(lesions, start=1):
        pdf.add_page()
        _draw_heading(pdf, heading)
        _draw_picture(pdf, page)
        top = pdf.get_y() + 5
        _draw_verdict(pdf, page.lesion, top)
        below = pdf.get_y()
        _draw_features(pdf, page.lesion, top)
        pdf.set_xy(_LEFT, max(pdf.get_y(), below) + 5)
        _draw_sentences(pdf, page.lesion, heading.closing)
        _draw_footer(pdf, heading.footer, f"{number} / {len(lesions)}")
    return bytes(pdf.output())


def _draw_heading(pdf: FPDF, heading: PdfHeading) -> None:
    pdf.set_fill_color(*_AMBER)
    pdf.rect(0, 0, 210, 11, style="F")
    _ink(pdf, _INK, 10, "B")
    pdf.set_xy(0, 2.5)
    pdf.cell(210, 6, heading.warning, align=Align.C)
    shown = [_plain(name) for name in heading.patient if printable(name)]
    pdf.set_xy(_LEFT, 15)
    _ink(pdf, _INK, 13, "B")
    pdf.cell(_RIGHT - _LEFT, 6, "   ".join(shown) or "Patient " + heading.patient_id)
    pdf.set_xy(_LEFT, 21.5)
    _ink(pdf, _MUTED, 8.5)
    facts = (
        ("ID", heading.patient_id),
        ("born", heading.birth_date),
        ("study", heading.study_date),
        ("accession", heading.accession_number),
    )
    said = [f"{name} {_plain(value)}" for name, value in facts if value]
    pdf.cell(_RIGHT - _LEFT, 5, "    ".join(said))
    pdf.set_y(29)


def _draw_picture(pdf: FPDF, page: PdfLesion) -> None:
    picture = page.evidence.picture
    if picture is None:
        return
    canvas = Image.new("RGB", _FRAME, (0, 0, 0))
    found = next((s for s in page.lesion.semantic if s.name == "maximum_diameter"), None)
    label = "" if found is None or found.silent else feature_value(found)
    ends = page.evidence.diameter if page.lesion.caliper else None
    box = (0, 0, *_FRAME)
    draw_frame(
        canvas, box, picture, page.evidence.outline, ends, label if page.lesion.caliper else ""
    )
    width = _RIGHT - _LEFT
    height = width * _FRAME[1] / _FRAME[0]
    pdf.image(canvas, _LEFT, pdf.get_y(), width, height)
    pdf.set_y(pdf.get_y() + height)


def _draw_verdict(pdf: FPDF, lesion: LesionValues, top: float) -> None:
    pdf.set_xy(_LEFT, top)
    _ink(pdf, _INK, 11, "B")
    pdf.multi_cell(72, 5.5, _plain(lesion.name), new_x=XPos.LMARGIN, new_y=YPos.NEXT, align=Align.L)
    if isinstance(lesion.verdict, NotAssessed):
        _ink(pdf, (168, 104, 0), 20, "B")
        pdf.cell(72, 12, "Not assessed", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        return
    found = lesion.verdict
    _ink(pdf, _INK, 28, "B")
    share = f"{percent(found.probability)} %"
    pdf.cell(72, 13, share, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    _ink(pdf, _MUTED, 9)
    pdf.cell(72, 4.5, "probability of malignancy", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    _draw_bar(pdf, found, pdf.get_y() + 4)
    colour = _CLASS[found.malignancy]
    _ink(pdf, (255, 255, 255), 9, "B")
    word = _plain(say("class", found.malignancy)).upper()
    width, row = pdf.get_string_width(word) + 8, pdf.get_y()
    pdf.set_fill_color(*colour)
    pdf.rect(_LEFT, row, width, 7, style="F", round_corners=True, corner_radius=3.5)
    pdf.set_xy(_LEFT, row)
    pdf.cell(width, 7, word, align=Align.C, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _draw_bar(pdf: FPDF, found: Assessment, top: float) -> None:
    """Draw the probability on 0 to 100 % and the operating point as a mark, as the summary does."""
    width = 66.0
    pdf.set_fill_color(*_TRACK)
    pdf.rect(_LEFT, top, width, 3, style="F")
    pdf.set_fill_color(*_CLASS[found.malignancy])
    pdf.rect(_LEFT, top, width * found.probability, 3, style="F")
    mark = _LEFT + width * found.threshold
    pdf.set_draw_color(*_INK)
    pdf.set_line_width(0.6)
    pdf.line(mark, top - 1.2, mark, top + 4.2)
    _ink(pdf, _INK, 7.5)
    label = f"operating point {percent(found.threshold)} %"
    half = pdf.get_string_width(label) / 2
    middle = min(max(mark, _LEFT + half), _LEFT + width - half)
    pdf.set_xy(middle - half - 1, top + 4.5)
    pdf.cell(2 * half + 2, 4, label, align=Align.C)
    pdf.set_xy(_LEFT, top + 10.5)


def _draw_features(pdf: FPDF, lesion: LesionValues, top: float) -> None:
    left, row = 94.0, top
    known = {semantic.name: semantic for semantic in lesion.semantic}
    for semantic in (known[one.name] for one in features() if one.name in known):
        _ink(pdf, _MUTED, 9)
        pdf.set_xy(left, row)
        pdf.cell(34, 7, _plain(feature_label(semantic.name)))
        _ink(pdf, _MUTED if semantic.silent else _INK, 9, "B")
        pdf.cell(38, 7, _plain(feature_value(semantic)))
        mark: str = "" if semantic.silent else semantic.provenance
        if mark and semantic.confidence is not None:
            mark = f"{mark} {100 * semantic.confidence:.0f} %"
        _ink(pdf, _MUTED, 8)
        pdf.cell(_RIGHT - left - 72, 7, mark, align=Align.R)
        row += 7
        pdf.set_draw_color(*_RULE)
        pdf.set_line_width(0.2)
        pdf.line(left, row, _RIGHT, row)
    pdf.set_xy(_LEFT, row)


def _draw_sentences(pdf: FPDF, lesion: LesionValues, closing: str) -> None:
    """Say in sentences what the SR says, without the feature lines that the table has shown."""
    shown = {feature_label(semantic.name) for semantic in lesion.semantic}
    remarks = [
        line for line in lesion_remarks(lesion) if not any(line.startswith(one) for one in shown)
    ]
    for number, line in enumerate((verdict(lesion), *caveats(lesion), *remarks, closing)):
        _ink(pdf, _INK if number == 0 else _MUTED, 9)
        pdf.set_x(_LEFT)
        pdf.multi_cell(
            _RIGHT - _LEFT, 4.6, _plain(line), align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )
        pdf.set_y(pdf.get_y() + 1.2)


def _draw_footer(pdf: FPDF, footer: str, page: str) -> None:
    pdf.set_auto_page_break(auto=False)
    pdf.set_draw_color(*_RULE)
    pdf.set_line_width(0.2)
    pdf.line(_LEFT, 282, _RIGHT, 282)
    _ink(pdf, _MUTED, 7.5)
    pdf.set_xy(_LEFT, 283.5)
    pdf.cell(150, 5, _plain(footer))
    pdf.cell(_RIGHT - _LEFT - 150, 5, page, align=Align.R)
    pdf.set_auto_page_break(auto=True, margin=22)


def _ink(pdf: FPDF, colour: tuple[int, int, int], size: float, style: str = "") -> None:
    pdf.set_text_color(*colour)
    pdf.set_font(_TYPE, style, size)


def _plain(text: str) -> str:
    """Replace what the type cannot print, so that a gap is seen and nothing is a box."""
    return "".join(one if printable(one) else "·" for one in text)
