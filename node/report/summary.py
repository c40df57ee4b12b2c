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
from sr_templates.wording import banner, feature_label, feature_value, percent, say

SIZE: Final = 1024
_BANNER: Final = 56
_FRAME_BOTTOM: Final = 536
_MARGIN: Final = 32
_RIGHT: Final = 412  # where the right column begins
_EDGE: Final = SIZE - 24  # where it ends
_FOOTER: Final = 968

_PAGE: Final = (17, 21, 27)
_PANEL: Final = (28, 34, 43)
_RULE: Final = (52, 61, 74)
_TEXT: Final = (240, 243, 247)
_MUTED: Final = (156, 168, 183)
_AMBER: Final = (242, 179, 61)
_INK: Final = (20, 16, 6)
_CLASS: Final = {
    "malignant": (232, 84, 88),
    "benign": (74, 182, 128),
    "indeterminate": (156, 168, 183),
}
_TRACK: Final = (62, 72, 87)


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
    if page.lesion.semantic or isinstance(page.lesion.verdict, Assessment):
        _draw_table(draw, page)
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
    label = "" if found is None or found.silent else feature_value(found)
    draw_frame(canvas, box, picture, page.evidence.outline, page.evidence.diameter, label)


def _draw_verdict(draw: ImageDraw.ImageDraw, page: SummaryPage) -> None:
    name = page.lesion.name if printable(page.lesion.name) else f"Lesion {page.number}"
    top = _FRAME_BOTTOM + 22
    alone = isinstance(page.lesion.verdict, NotAssessed) and not page.lesion.semantic
    width = (_EDGE if alone else _RIGHT) - _MARGIN - 16
    title = shortened(name, width, font(26, "bold"))
    draw.text((_MARGIN, top), title, font=font(26, "bold"), fill=_TEXT)
    if isinstance(page.lesion.verdict, NotAssessed):
        _draw_refusal(draw, page.lesion.verdict, top + 46, width)
    else:
        _draw_assessment(draw, page.lesion.verdict, page.prevalence, top + 36)


def _draw_refusal(draw: ImageDraw.ImageDraw, refusal: NotAssessed, top: int, width: int) -> None:
    draw.text((_MARGIN, top), "Not assessed", font=font(48, "bold"), fill=_AMBER)
    row = top + 78
    for line in wrapped(refusal_code(refusal.reason).meaning, width, font(26, "bold"), 2):
        draw.text((_MARGIN, row), line, font=font(26, "bold"), fill=_TEXT)
        row += 36
    row += 10
    for line in wrapped(refusal.text, width, font(24), 5):
        draw.text((_MARGIN, row), line, font=font(24), fill=_TEXT)
        row += 34


def _draw_assessment(
    draw: ImageDraw.ImageDraw, found: Assessment, prevalence: float, top: int
) -> None:
    share = f"{percent(found.probability)} %"
    draw.text((_MARGIN - 3, top), share, font=font(68, "bold"), fill=_TEXT)
    draw.text((_MARGIN, top + 82), "probability of malignancy", font=font(24), fill=_MUTED)
    _draw_bar(draw, found, top + 130)
    chip = say("class", found.malignancy).upper()
    type_ = font(24, "bold")
    right = _MARGIN + type_.getlength(chip) + 36
    box = (_MARGIN, top + 196, right, top + 236)
    draw.rounded_rectangle(box, 20, fill=_CLASS[found.malignancy])
    draw.text(((_MARGIN + right) / 2, top + 216), chip, font=type_, fill=(0, 0, 0), anchor="mm")
    for row, line in enumerate(_accuracy(found, prevalence)):
        text = shortened(line, _RIGHT - _MARGIN - 12, font(22))
        draw.text((_MARGIN, top + 250 + 29 * row), text, font=font(22), fill=_MUTED)


def _accuracy(found: Assessment, prevalence: float) -> list[str]:
    lines = []
    if found.sensitivity is not None and found.specificity is not None:
        lines.append(f"sensitivity {percent(found.sensitivity)} %")
        lines.append(f"specificity {percent(found.specificity)} %")
    if found.prior_shift is None:
        return [*lines, f"training prevalence {percent(prevalence)} %"]
    return [*lines, f"prevalence {percent(prevalence)} % → {percent(found.prior_shift)} %"]


def _draw_bar(draw: ImageDraw.ImageDraw, found: Assessment, top: int) -> None:
    """Draw the probability on a bar of 0 to 100 % with the operating point as a mark."""
    left, right = _MARGIN, _RIGHT - _MARGIN
    height = 18
    draw.rounded_rectangle((left, top, right, top + height), height // 2, fill=_TRACK)
    end = max(left + height, left + (right - left) * found.probability)
    draw.rounded_rectangle(
        (left, top, end, top + height), height // 2, fill=_CLASS[found.malignancy]
    )
    mark = left + (right - left) * found.threshold
    draw.line((mark, top - 7, mark, top + height + 7), fill=_TEXT, width=4)
    label = f"operating point {percent(found.threshold)} %"
    half = font(22).getlength(label) / 2
    middle = min(max(mark, left + half), right - half)
    draw.text((middle, top + height + 10), label, font=font(22), fill=_TEXT, anchor="ma")


def _draw_table(draw: ImageDraw.ImageDraw, page: SummaryPage) -> None:
    top = _FRAME_BOTTOM + 20
    left, right = _RIGHT + 18, _EDGE - 18
    draw.rounded_rectangle((_RIGHT, top, _EDGE, _FOOTER - 14), 14, fill=_PANEL)
    draw.text((right, top + 12), "source, confidence", font=font(22), fill=_MUTED, anchor="ra")
    draw.text((left, top + 12), "Feature", font=font(22), fill=_MUTED)
    draw.line((left, top + 46, right, top + 46), fill=_RULE, width=2)
    known = {semantic.name: semantic for semantic in page.lesion.semantic}
    row_top = top + 48
    for semantic in (known[row.name] for row in features() if row.name in known):
        _draw_feature(draw, semantic, left, right, row_top)
        row_top += 44
    row_top += 8
    for line, colour in _remarks(page, right - left):
        draw.text((left, row_top), line, font=font(22), fill=colour)
        row_top += 28


def _draw_feature(
    draw: ImageDraw.ImageDraw, semantic: SemanticValue, left: int, right: int, top: int
) -> None:
    silent = semantic.silent
    plain, strong = font(22), font(22, "bold")
    label = shortened(feature_label(semantic.name), 162, plain)
    draw.text((left, top + 7), label, font=plain, fill=_MUTED)
    mark: str = "" if silent else semantic.provenance
    if mark and semantic.confidence is not None:
        mark = f"{mark} {100 * semantic.confidence:.0f} %"
    draw.text((right, top + 7), mark, font=plain, fill=_MUTED, anchor="ra")
    room = right - left - 168 - plain.getlength(mark) - 8
    value = shortened(feature_value(semantic), room, strong)
    draw.text((left + 168, top + 7), value, font=strong, fill=_MUTED if silent else _TEXT)
    draw.line((left, top + 43, right, top + 43), fill=_RULE, width=1)


def _remarks(page: SummaryPage, width: int) -> list[tuple[str, tuple[int, int, int]]]:
    """Return what a reader must not miss, at most four lines, the warnings first."""
    verdict, lines = page.lesion.verdict, []
    if isinstance(verdict, Assessment) and verdict.out_of_distribution:
        lines.append(("Outside the training data", _AMBER))
    if page.lesion.image_inferred:
        lines.append(("Image inferred, not named by the SEG", _AMBER))
    if isinstance(verdict, Assessment):
        model, colour = f"Model {verdict.model}", _MUTED
        if verdict.fallback_reason:
            model, colour = f"{model} (fallback): {verdict.fallback_reason}", _AMBER
        rows = wrapped(model, width, font(22), 4 - len(lines))
        lines.extend((row, colour) for row in rows)
    return lines
