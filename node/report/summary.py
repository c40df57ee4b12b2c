"""The summary picture of one lesion: a page for viewers that show no Structured Report.

1024 x 1024 pixels with no type under 22 pixels, so that it is still read at 512.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from node.case import Evidence
from node.report.fonts import font, printable, shortened, wrapped
from node.report.frame_panel import draw_frame
from sr_templates.codes import refusal_code
from sr_templates.features import features
from sr_templates.values import Assessment, LesionValues, NotAssessed, SemanticValue
from sr_templates.wording import banner, feature_label, feature_value, percent

SIZE: Final = 1024
_BANNER: Final = 56
_FRAME_BOTTOM: Final = 604
_MARGIN: Final = 32
_RIGHT: Final = 470  # where the right column begins
_FOOTER: Final = 968

_PAGE: Final = (17, 21, 27)
_PANEL: Final = (28, 34, 43)
_RULE: Final = (52, 61, 74)
_TEXT: Final = (240, 243, 247)
_MUTED: Final = (156, 168, 183)
_AMBER: Final = (242, 179, 61)
_INK: Final = (20, 16, 6)
_CLASS: Final = {"malignant": (232, 84, 88), "benign": (74, 182, 128)}
_TRACK: Final = (62, 72, 87)
_WORD: Final = {"measured": "measured", "read": "read", "header": "header", "not assessed": ""}


@dataclass(frozen=True, slots=True)
class SummaryPage:
    """What one page shows.

    Attributes:
        number: Of the lesion in the report; its name falls back on it where the type lacks
            the label's glyphs.
        prevalence: Of the training population, 0..1.
        footer: Bundle and software, one line.
    """

    lesion: LesionValues
    evidence: Evidence
    number: int
    simulated: bool
    prevalence: float
    footer: str


def draw_summary(page: SummaryPage) -> NDArray[np.uint8]:
    """Draw a page, (1024, 1024, 3) RGB."""
    canvas = Image.new("RGB", (SIZE, SIZE), _PAGE)
    draw = ImageDraw.Draw(canvas)
    _draw_banner(draw, page)
    _draw_frame(canvas, draw, page)
    _draw_verdict(draw, page)
    _draw_features(draw, page)
    draw.line((_MARGIN, _FOOTER, SIZE - _MARGIN, _FOOTER), fill=_RULE, width=1)
    small = font(22)
    footer = shortened(page.footer, SIZE - 2 * _MARGIN, small)
    draw.text((_MARGIN, _FOOTER + 14), footer, font=small, fill=_MUTED)
    return np.asarray(canvas, dtype=np.uint8)


def _draw_banner(draw: ImageDraw.ImageDraw, page: SummaryPage) -> None:
    draw.rectangle((0, 0, SIZE, _BANNER), fill=_AMBER)
    warning = banner(simulated=page.simulated)
    size = next(s for s in (26, 24, 22, 20) if font(s, "bold").getlength(warning) < SIZE - 24)
    place = (SIZE / 2, _BANNER / 2)
    draw.text(place, warning, font=font(size, "bold"), fill=_INK, anchor="mm")


def _draw_frame(canvas: Image.Image, draw: ImageDraw.ImageDraw, page: SummaryPage) -> None:
    box = (0, _BANNER + 1, SIZE, _FRAME_BOTTOM)
    draw.rectangle(box, fill=(0, 0, 0))
    picture = page.evidence.picture
    if picture is None:
        middle = (SIZE / 2, (_BANNER + _FRAME_BOTTOM) / 2)
        draw.text(middle, "No picture", font=font(28), fill=_MUTED, anchor="mm")
        return
    found = next((s for s in page.lesion.semantic if s.name == "maximum_diameter"), None)
    label = "" if found is None or found.value is None else feature_value(found)
    draw_frame(canvas, box, picture, page.evidence.outline, page.evidence.diameter, label)


def _draw_verdict(draw: ImageDraw.ImageDraw, page: SummaryPage) -> None:
    name = page.lesion.name if printable(page.lesion.name) else f"Lesion {page.number}"
    width = _RIGHT - 2 * _MARGIN
    top = _FRAME_BOTTOM + 24
    title = shortened(name, width, font(26, "bold"))
    draw.text((_MARGIN, top), title, font=font(26, "bold"), fill=_TEXT)
    if isinstance(page.lesion.verdict, NotAssessed):
        _draw_refusal(draw, page.lesion.verdict, top + 46)
    else:
        _draw_assessment(draw, page.lesion.verdict, page.prevalence, top + 40)


def _draw_refusal(draw: ImageDraw.ImageDraw, refusal: NotAssessed, top: int) -> None:
    draw.text((_MARGIN, top), "Not assessed", font=font(46, "bold"), fill=_AMBER)
    width = _RIGHT - _MARGIN - 16
    row = top + 70
    for line in wrapped(refusal_code(refusal.reason).meaning, width, font(24, "bold"), 2):
        draw.text((_MARGIN, row), line, font=font(24, "bold"), fill=_TEXT)
        row += 32
    row += 8
    for line in wrapped(refusal.text, width, font(22), 5):
        draw.text((_MARGIN, row), line, font=font(22), fill=_MUTED)
        row += 29


def _draw_assessment(
    draw: ImageDraw.ImageDraw, found: Assessment, prevalence: float, top: int
) -> None:
    colour = _CLASS[found.malignancy]
    share = f"{percent(found.probability)} %"
    draw.text((_MARGIN - 3, top), share, font=font(68, "bold"), fill=_TEXT)
    draw.text((_MARGIN, top + 86), "probability of malignancy", font=font(24), fill=_MUTED)
    _draw_bar(draw, found, top + 132)
    chip = found.malignancy.upper()
    type_ = font(24, "bold")
    right = _MARGIN + type_.getlength(chip) + 32
    draw.rounded_rectangle((_MARGIN, top + 196, right, top + 236), 20, fill=colour)
    draw.text(((_MARGIN + right) / 2, top + 216), chip, font=type_, fill=(0, 0, 0), anchor="mm")
    lines = []
    if found.sensitivity is not None and found.specificity is not None:
        accuracy = (percent(found.sensitivity), percent(found.specificity))
        lines.append("sensitivity {} %, specificity {} %".format(*accuracy))
    applied = prevalence if found.prior_shift is None else found.prior_shift
    kind = "training prevalence" if found.prior_shift is None else "shifted to prevalence"
    lines.append(f"{kind} {percent(applied)} %")
    for row, line in enumerate(lines):
        text = shortened(line, _RIGHT - _MARGIN - 8, font(22))
        draw.text((_MARGIN, top + 250 + 30 * row), text, font=font(22), fill=_MUTED)


def _draw_bar(draw: ImageDraw.ImageDraw, found: Assessment, top: int) -> None:
    """Draw the probability on a bar of 0 to 100 % with the operating point as a mark."""
    left, right = _MARGIN, _RIGHT - _MARGIN - 10
    height = 18
    draw.rounded_rectangle((left, top, right, top + height), height // 2, fill=_TRACK)
    end = left + (right - left) * found.probability
    if end > left + height:
        fill = _CLASS[found.malignancy]
        draw.rounded_rectangle((left, top, end, top + height), height // 2, fill=fill)
    mark = left + (right - left) * found.threshold
    draw.line((mark, top - 7, mark, top + height + 7), fill=_TEXT, width=4)
    label = f"operating point {percent(found.threshold)} %"
    half = font(22).getlength(label) / 2
    middle = min(max(mark, left + half), right - half)
    draw.text((middle, top + height + 10), label, font=font(22), fill=_TEXT, anchor="ma")


def _draw_features(draw: ImageDraw.ImageDraw, page: SummaryPage) -> None:
    left, right, top = _RIGHT, SIZE - _MARGIN, _FRAME_BOTTOM + 24
    draw.rounded_rectangle((left, top, right, _FOOTER - 18), 14, fill=_PANEL)
    known = {semantic.name: semantic for semantic in page.lesion.semantic}
    rows = [known[row.name] for row in features() if row.name in known]
    row_top = top + 16
    for semantic in rows:
        _draw_feature(draw, semantic, left + 20, right - 20, row_top)
        row_top += 47
    if not rows:
        draw.text((left + 20, row_top), "No feature was measured", font=font(22), fill=_MUTED)
        row_top += 47
    for line in _remarks(page):
        text = shortened(line, right - left - 40, font(22))
        draw.text((left + 20, row_top + 4), text, font=font(22), fill=_AMBER)
        row_top += 30


def _draw_feature(
    draw: ImageDraw.ImageDraw, semantic: SemanticValue, left: int, right: int, top: int
) -> None:
    value_left, mark_right = left + 178, right
    draw.text((left, top + 6), _short_label(semantic.name), font=font(22), fill=_MUTED)
    mark = _WORD[semantic.provenance]
    if mark and semantic.confidence is not None:
        mark = f"{mark} {100 * semantic.confidence:.0f} %"
    small = font(22)
    draw.text((mark_right, top + 6), mark, font=small, fill=_MUTED, anchor="ra")
    room = mark_right - value_left - small.getlength(mark) - 10
    value = shortened(feature_value(semantic), room, font(22, "bold"))
    silent = semantic.value is None
    draw.text((value_left, top + 6), value, font=font(22, "bold"), fill=_MUTED if silent else _TEXT)
    draw.line((left, top + 42, right, top + 42), fill=_RULE, width=1)


def _short_label(name: str) -> str:
    return feature_label(name).replace("Maximum diameter", "Max. diameter")


def _remarks(page: SummaryPage) -> list[str]:
    """Return what a reader must not miss, shortest first things first."""
    remarks = []
    verdict = page.lesion.verdict
    if isinstance(verdict, Assessment):
        remarks.append(
            f"Model {verdict.model}" + (" (fallback)" if verdict.fallback_reason else "")
        )
        if verdict.out_of_distribution:
            remarks.append("Outside the training data")
    if page.lesion.image_inferred:
        remarks.append("Image inferred")
    return remarks
