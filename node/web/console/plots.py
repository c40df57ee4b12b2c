"""Plots as inline SVG, drawn by the server: no script, and the stylesheet's colours in both modes.

Each has a text alternative; the page shows the numbers as a table beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

_LEFT, _BOTTOM, _TOP, _RIGHT = 44.0, 26.0, 10.0, 8.0
_TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One stacked bar: its label and the heights of its parts, in the order of the classes."""

    label: str
    parts: tuple[float, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval, on a scale from 0 to 1."""

    label: str
    value: float
    low: float
    high: float
    title: str = ""


@dataclass(frozen=True, slots=True)
class Deviation:
    """A signed number of a feature, `marked` where it is notable."""

    label: str
    value: float
    marked: bool
    title: str = ""


def bars(
    title: str,
    data: Sequence[Bar],
    classes: Sequence[str],
    *,
    width: float = 560,
    height: float = 200,
    every: int = 1,
) -> Markup:
    """Draw stacked bars.

    Args:
        title: What a screen reader says of it.
        data: From left to right.
        classes: The style class of each part, the lowest first.
        width: In user units; the stylesheet scales it.
        height: Likewise.
        every: Label every so many bars.
    """
    top = nice(max((sum(bar.parts) for bar in data), default=0.0))
    inner_width, inner_height = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    step = inner_width / max(len(data), 1)
    parts = [_axis(top, inner_height, width)]
    for number, bar in enumerate(data):
        x, y = _LEFT + number * step, _TOP + inner_height
        said = escape(bar.title or f"{bar.label}: {sum(bar.parts):g}")
        drawn = []
        for value, name in zip(bar.parts, classes, strict=True):
            tall = inner_height * value / top if top else 0.0
            y -= tall
            if tall > 0:
                drawn.append(
                    f'<rect class="{name}" x="{x + step * 0.12:.1f}" y="{y:.1f}" '
                    f'width="{step * 0.76:.1f}" height="{tall:.1f}" rx="1.5"/>'
                )
        parts.append(f"<g><title>{said}</title>{''.join(drawn)}</g>")
        if number % every == 0:
            parts.append(
                f'<text class="tick" x="{x + step / 2:.1f}" y="{height - 8:.1f}" '
                f'text-anchor="middle">{escape(bar.label)}</text>'
            )
    return _svg(title, width, height, parts)


def sparkline(title: str, data: Sequence[Bar], *, width: float = 560, height: float = 72) -> Markup:
    """Draw thin bars without an axis."""
    top = max((sum(bar.parts) for bar in data), default=0.0)
    step = width / max(len(data), 1)
    parts = []
    for number, bar in enumerate(data):
        tall = max((height - 4) * sum(bar.parts) / top if top else 0.0, 1.5)
        empty = "" if sum(bar.parts) else " empty"
        parts.append(
            f'<rect class="bar{empty}" x="{number * step + step * 0.15:.1f}" '
            f'y="{height - tall:.1f}" width="{step * 0.7:.1f}" height="{tall:.1f}" rx="1.5">'
            f"<title>{escape(bar.title or bar.label)}</title></rect>"
        )
    return _svg(title, width, height, parts)


def dots(
    title: str, data: Sequence[Dot], *, width: float = 560, height: float = 220, guide: float = 0.5
) -> Markup:
    """Draw values with intervals between 0 and 1; `guide` is a dashed line."""
    inner_width, inner_height = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    step = inner_width / max(len(data), 1)

    def place(value: float) -> float:
        return _TOP + inner_height * (1 - value)

    parts = [_axis(1.0, inner_height, width)]
    parts.append(
        f'<line class="guide" x1="{_LEFT}" x2="{width - _RIGHT}" '
        f'y1="{place(guide):.1f}" y2="{place(guide):.1f}"/>'
    )
    every = max(1, len(data) // 8)
    for number, dot in enumerate(data):
        x = _LEFT + (number + 0.5) * step
        parts.append(
            f"<g><title>{escape(dot.title or dot.label)}</title>"
            f'<line class="interval" x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{place(dot.low):.1f}" y2="{place(dot.high):.1f}"/>'
            f'<circle class="dot" cx="{x:.1f}" cy="{place(dot.value):.1f}" r="4"/></g>'
        )
        if number % every == 0:
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{height - 8:.1f}" '
                f'text-anchor="middle">{escape(dot.label)}</text>'
            )
    return _svg(title, width, height, parts)


def deviations(title: str, data: Sequence[Deviation], *, width: float = 560) -> Markup:
    """Draw signed horizontal bars, a row each."""
    row, names = 20.0, 250.0
    height = max(row * len(data) + 24, 40)
    most = nice(max((abs(one.value) for one in data), default=1.0)) or 1.0
    middle = names + (width - names) / 2
    scale = (width - names) / 2 / most
    parts = [f'<line class="axis" x1="{middle}" x2="{middle}" y1="0" y2="{height - 20:.0f}"/>']
    for number, one in enumerate(data):
        y = number * row
        x, wide = min(middle, middle + one.value * scale), abs(one.value) * scale
        kind = "marked" if one.marked else "bar"
        parts.append(
            f"<g><title>{escape(one.title or one.label)}</title>"
            f'<text class="tick" x="{names - 8}" y="{y + 14:.0f}" text-anchor="end">'
            f"{escape(_shortened(one.label))}</text>"
            f'<rect class="{kind}" x="{x:.1f}" y="{y + 4:.1f}" width="{max(wide, 1):.1f}" '
            f'height="{row - 8:.1f}" rx="1.5"/></g>'
        )
    for value in (-most, 0.0, most):
        anchor = "middle" if value == 0 else "start" if value < 0 else "end"
        parts.append(
            f'<text class="tick" x="{middle + value * scale:.1f}" y="{height - 4:.0f}" '
            f'text-anchor="{anchor}">{value:+g}</text>'
            if value
            else f'<text class="tick" x="{middle:.1f}" y="{height - 4:.0f}" '
            'text-anchor="middle">0</text>'
        )
    return _svg(title, width, height, parts)


def nice(value: float) -> float:
    """Return the next round number above a value: 1, 2, 2.5, 4, 5 or 10 times a power of ten."""
    if value <= 0:
        return 0.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * step for step in (1, 2, 2.5, 4, 5, 10) if power * step >= value)


def _shortened(label: str) -> str:
    return label if len(label) <= 38 else f"{label[:37]}…"


def _axis(top: float, inner_height: float, width: float) -> str:
    lines = []
    for number in range(_TICKS + 1):
        y = _TOP + inner_height * (1 - number / _TICKS)
        lines.append(
            f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{top * number / _TICKS:g}</text>"
        )
    return "".join(lines)


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> Markup:
    body = "".join(parts)
    return Markup(  # noqa: S704 - every text in it was escaped where it was put in
        f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}">{body}</svg>'
    )
