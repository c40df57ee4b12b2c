"""The upper half of the summary: the assessed frame with outline and caliper."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from node.report.fonts import font

OUTLINE_COLOUR: Final = (55, 213, 192)
CALIPER_COLOUR: Final = (255, 209, 102)
_SHADOW: Final = (0, 0, 0, 150)
_FINE: Final = 3  # lines are drawn this much larger and reduced, for Pillow does not smooth them
_TICK: Final = 9.0

Points = NDArray[np.float64]


def draw_frame(
    page: Image.Image,
    box: tuple[int, int, int, int],
    picture: NDArray[np.uint8],
    outline: Points,
    diameter: Points | None,
    label: str,
) -> None:
    """Draw a frame into a box of the page, as large as it fits, with what was measured on it.

    Args:
        page: RGB page, drawn on in place.
        box: Left, top, right, bottom in pixels.
        picture: (rows, columns, 3) RGB.
        outline: (points, 2) as (column, row) array indices; may be empty.
        diameter: The two end points, (2, 2) likewise, or None.
        label: Printed beside the caliper.
    """
    left, top, right, bottom = box
    rows, columns = picture.shape[:2]
    scale = min((right - left) / columns, (bottom - top) / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    corner = np.array([left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2])
    frame = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)
    page.paste(frame, (int(corner[0]), int(corner[1])))

    ends = None if diameter is None else (diameter + 0.5) * scale
    overlay = _overlay(size, (outline + 0.5) * scale, ends)
    page.paste(overlay, (int(corner[0]), int(corner[1])), overlay)
    if ends is not None and label:
        _print_label(page, ends + corner, label, box)


def _overlay(size: tuple[int, int], outline: Points, ends: Points | None) -> Image.Image:
    overlay = Image.new("RGBA", (size[0] * _FINE, size[1] * _FINE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(overlay)
    if len(outline):
        _stroke(draw, outline, OUTLINE_COLOUR, 3)
    if ends is not None:
        _stroke(draw, ends, CALIPER_COLOUR, 2)
        for tick in _ticks(ends):
            _stroke(draw, tick, CALIPER_COLOUR, 3)
    return overlay.reduce(_FINE)


def _stroke(
    draw: ImageDraw.ImageDraw, points: Points, colour: tuple[int, int, int], width: int
) -> None:
    path = [(float(x), float(y)) for x, y in points * _FINE]
    draw.line(path, fill=_SHADOW, width=(width + 2) * _FINE, joint="curve")
    draw.line(path, fill=(*colour, 255), width=width * _FINE, joint="curve")


def _ticks(ends: Points) -> list[Points]:
    """Return the short strokes across both ends of a caliper."""
    direction = ends[1] - ends[0]
    length = float(np.hypot(*direction)) or 1.0
    across = np.array([-direction[1], direction[0]]) / length * _TICK
    return [np.array([end - across, end + across]) for end in ends]


def _print_label(
    page: Image.Image, ends: Points, label: str, box: tuple[int, int, int, int]
) -> None:
    """Print the caliper's length beside its right end, inside the box."""
    type_ = font(26, "bold")
    left, top, right, bottom = box
    column, row = ends[int(np.argmax(ends[:, 0]))]
    width = type_.getlength(label)
    x = min(max(float(column) + 14, left + 8), right - width - 8)
    y = min(max(float(row) - 15, top + 4), bottom - 36)
    ImageDraw.Draw(page).text(
        (x, y), label, font=type_, fill=CALIPER_COLOUR, stroke_width=3, stroke_fill=(0, 0, 0)
    )
