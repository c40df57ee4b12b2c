"""Source Sans Pro (SIL Open Font License), for the page and for the figures.

The report brings its letters along, so that it looks alike, breaks its lines alike and gives the
same bytes on every machine. The page gets a subset of Latin, Greek and the signs that it uses;
other scripts fall back to the reader's own fonts.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from importlib.resources import files
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FAMILY = "Source Sans Pro"
_STYLES = {
    "SourceSansPro-Regular.ttf": (400, "normal"),
    "SourceSansPro-It.ttf": (400, "italic"),
    "SourceSansPro-Semibold.ttf": (600, "normal"),
}
_RANGES = (
    range(0x20, 0x180),  # Latin
    range(0x391, 0x3CA),  # Greek
    range(0x2010, 0x2040),  # dashes, quotation marks, ellipsis
    range(0x2190, 0x2194),  # arrows
    (0x2007, 0x2008, 0x2009, 0x202F, 0x2212, 0x2260, 0x2264, 0x2265, 0x2713),
)


def font_paths() -> tuple[Path, ...]:
    """Return the font files of the figures."""
    folder = files("font_source_sans_pro").joinpath("files")
    return tuple(Path(str(folder.joinpath(name))) for name in _STYLES)


@cache
def font_css() -> str:
    """Return the `@font-face` rules, with the letters in them.

    As plain TrueType: WeasyPrint would unpack WOFF into a font dated now, and no two PDFs would
    be alike.
    """
    rules = []
    for path in font_paths():
        weight, style = _STYLES[path.name]
        data = base64.b64encode(_subset(path)).decode()
        rules.append(
            f"@font-face {{ font-family: '{FAMILY}'; font-weight: {weight}; font-style: {style}; "
            f"src: url(data:font/ttf;base64,{data}) format('truetype'); }}"
        )
    return "\n".join(rules)


def _subset(path: Path) -> bytes:
    options = subset.Options(
        flavor="woff", layout_features=["kern", "liga", "tnum", "lnum", "mark"]
    )
    options.recalc_timestamp = False  # else two runs differ
    with TTFont(path, recalcTimestamp=False) as font:
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=[code for codes in _RANGES for code in codes])
        cutter.subset(font)
        kept = io.BytesIO()
        font.save(kept)
    return kept.getvalue()
