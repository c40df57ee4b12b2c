"""Boxes and arrows, for the flowchart and the workflow."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyBboxPatch

from models.study.report.figures.style import INK, QUIET, WASH

LINE = 0.155
"""Height of a line of text, inches."""
PAD = 0.09


@dataclass(frozen=True, slots=True)
class Box:
    """A box with a bold first line; its place in inches from the top left of the figure."""

    left: float
    top: float
    width: float
    head: str
    lines: tuple[str, ...] = ()
    plain: bool = False

    @property
    def text(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Head and body, broken to the width of the box."""
        columns = max(8, int(self.width * 17.5))
        head = textwrap.wrap(self.head, columns - 2) if self.head else []
        body = [part for line in self.lines for part in textwrap.wrap(line, columns)]
        return tuple(head), tuple(body)

    @property
    def height(self) -> float:
        """Inches, as the text needs."""
        head, body = self.text
        return LINE * (len(head) + len(body)) + 2 * PAD

    @property
    def bottom(self) -> float:
        """Inches from the top."""
        return self.top + self.height

    @property
    def centre(self) -> float:
        """Inches from the left."""
        return self.left + self.width / 2


def sheet(figure: Canvas, width: float, height: float) -> Axes:
    """Open an axes whose units are inches from the top left."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return axes


def draw(axes: Axes, box: Box, edge: str = INK, fill: str = "white") -> None:
    """Draw a box and its text."""
    axes.add_patch(
        FancyBboxPatch(
            (box.left, box.top),
            box.width,
            box.height,
            boxstyle="square,pad=0",
            linewidth=0.6 if box.plain else 0.9,
            edgecolor=QUIET if box.plain else edge,
            facecolor=WASH if box.plain else fill,
        )
    )
    head, body = box.text
    for row, line in enumerate((*head, *body)):
        axes.text(
            box.left + PAD,
            box.top + PAD + LINE * (row + 0.5),
            line,
            va="center",
            fontsize=8.2 if row < len(head) else 7.8,
            fontweight=600 if row < len(head) else 400,
            color=INK,
        )


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow, in inches."""
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": INK,
            "linewidth": 0.9,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 8,
        },
    )
