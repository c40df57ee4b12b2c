"""One look for every figure: letters, sizes, and a colour, dash and mark for each model.

Colours are Okabe and Ito's (2008), told apart by people who see few colours. A hue stands for
what a model looks at, the dash for how it is fused, so both survive a print in grey.
"""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from models.study.report.typeface import FAMILY, font_css, font_paths

INK, QUIET, RULE, WASH = "#1a1a1a", "#5c5c5c", "#c9c9c9", "#f3f3f1"
ALERT = "#D55E00"
WIDTH = 6.85
"""Inches: the text width of the printed A4 page."""
_DPI = 200


@dataclass(frozen=True, slots=True)
class Look:
    """How a model is drawn, in every figure."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]
    mark: str
    width: float = 1.3


_DASHED, _DOTTED = (0, (4.0, 1.6)), (0, (1.0, 1.2))
_LOOKS = {
    "CM": Look("#333333", "solid", "o"),
    "Rad": Look("#E69F00", _DOTTED, "s"),
    "DL": Look("#56B4E9", _DOTTED, "^"),
    "PreClinicRad": Look("#009E73", "solid", "D"),
    "PreClinicDL": Look("#CC79A7", "solid", "v"),
    "PreCRDL": Look("#0072B2", "solid", "o", 2.0),
    "PostClinicRad": Look("#009E73", _DASHED, "D"),
    "PostClinicDL": Look("#CC79A7", _DASHED, "v"),
    "PostCRDL": Look("#0072B2", _DASHED, "o", 1.6),
}


def look(name: str) -> Look:
    """Return how a model is drawn; one that is not the paper's is grey."""
    return _LOOKS.get(name, Look(QUIET, (0, (3.0, 1.0, 1.0, 1.0)), "x"))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished figure.

    Attributes:
        name: File name without ending.
        caption: Below it.
        alt: What it shows and what was found, for those who do not see it.
        svg: A whole SVG document.
        png: The same at 200 dots an inch.
    """

    name: str
    caption: str
    alt: str
    svg: str
    png: bytes


@cache
def _register() -> None:
    for path in font_paths():
        font_manager.fontManager.addfont(str(path))


@cache
def _settings() -> dict[str, Any]:
    text = files("models.study.report.figures").joinpath("style.toml").read_text("utf-8")
    settings: dict[str, Any] = tomllib.loads(text)["matplotlib"]
    return settings


@contextmanager
def _looking_alike(name: str) -> Iterator[None]:
    _register()
    settings: Any = _settings() | {"font.family": [FAMILY], "svg.hashsalt": name}
    with mpl.rc_context(settings):
        yield


@contextmanager
def canvas(name: str, height: float, width: float = WIDTH) -> Iterator[Canvas]:
    """Open a figure of `width` by `height` inches; it is drawn and finished inside."""
    with _looking_alike(name):
        yield Canvas(figsize=(width, height), layout="constrained")


def finish(figure: Canvas, name: str, caption: str, alt: str) -> Drawing:
    """Write a figure as SVG and PNG, the same bytes each time (no date, fixed ids)."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not again for each file
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    return Drawing(name, caption, alt, svg.getvalue(), png.getvalue())


def grid(axes: Axes, axis: str = "both") -> None:
    """Rule an axis faintly, behind the data."""
    axes.grid(visible=True, axis=axis, color=RULE, linewidth=0.4, alpha=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Make an axes of two proportions: square, 0 to 1, named."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y, aspect="equal")
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    grid(axes)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move labels apart until each pair is `gap` away, keeping their order and their middle."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    clusters: list[list[float]] = []
    for index in order:
        clusters.append([heights[index]])
        while len(clusters) > 1 and _top(clusters[-2], gap) + gap > _bottom(clusters[-1], gap):
            merged = clusters.pop()
            clusters[-1] = clusters[-1] + merged
    placed = [
        _bottom(cluster, gap) + gap * step for cluster in clusters for step in range(len(cluster))
    ]
    moved = [0.0] * len(heights)
    for index, height in zip(order, placed, strict=True):
        moved[index] = height
    return moved


def _bottom(cluster: Sequence[float], gap: float) -> float:
    return sum(cluster) / len(cluster) - gap * (len(cluster) - 1) / 2


def _top(cluster: Sequence[float], gap: float) -> float:
    return sum(cluster) / len(cluster) + gap * (len(cluster) - 1) / 2


def inline(drawing: Drawing) -> str:
    """Return the SVG for a page: no prolog, no size of its own, ids that no other figure has."""
    body = drawing.svg[drawing.svg.index("<svg") :]
    head, rest = body.split(">", 1)
    view = re.search(r'viewBox="[^"]+"', head)
    if view is None:
        raise ValueError(f"{drawing.name}: the SVG has no viewBox")
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    mark = f"{drawing.name}-"
    rest = re.sub(r'\bid="', f'id="{mark}', rest)
    rest = re.sub(r'href="#', f'href="#{mark}', rest)
    rest = re.sub(r"url\(#", f"url(#{mark}", rest)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view.group()} role="img" aria-labelledby="{mark}alt">'
        f'<title id="{mark}alt">{_escaped(drawing.alt)}</title>{rest.strip()}'
    )


def standalone(drawing: Drawing) -> str:
    """Return the SVG as a file of its own, with the letters in it."""
    head, rest = drawing.svg.split("<metadata>", 1)
    return f"{head}<style>{font_css()}</style>\n <metadata>{rest}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
