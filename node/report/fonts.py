"""The type of the summary picture: DejaVu Sans, which matplotlib ships, and what it can print."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from sr_templates.templates import current, load_templates, using
from sr_templates.wording import banner

_FACES: Final = {"regular": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
_ELLIPSIS: Final = "…"


@cache
def font(size: int, face: str = "regular") -> ImageFont.FreeTypeFont:
    """Return a face at a size in pixels."""
    # The basic layout engine keeps the pixels the same whether or not libraqm is installed.
    return ImageFont.truetype(font_path(face), size, layout_engine=ImageFont.Layout.BASIC)


def printable(text: str) -> bool:
    """Say whether the type has a glyph for every character."""
    return all(ord(character) in _glyphs() for character in text)


@contextmanager
def printable_words() -> Iterator[None]:
    """Draw in English where the type lacks the letters of the report's language.

    A warning in empty boxes warns nobody; the SR itself is in the configured language all the same.
    """
    if printable(banner(simulated=True)):
        yield
        return
    with using(load_templates(folder=current().folder)):
        yield


def shortened(text: str, width: float, type_: ImageFont.FreeTypeFont) -> str:
    """Cut a line to a width in pixels, with an ellipsis where something is left out."""
    if type_.getlength(text) <= width:
        return text
    while text and type_.getlength(text + _ELLIPSIS) > width:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS


def wrapped(text: str, width: float, type_: ImageFont.FreeTypeFont, lines: int) -> list[str]:
    """Break a text at its spaces into lines of a width in pixels; the last one is cut."""
    rows: list[str] = []
    words = text.split()
    while words and len(rows) < lines - 1:
        row = words.pop(0)
        while words and type_.getlength(f"{row} {words[0]}") <= width:
            row = f"{row} {words.pop(0)}"
        rows.append(shortened(row, width, type_))
    if words:
        rows.append(shortened(" ".join(words), width, type_))
    return rows


@cache
def font_path(face: str) -> Path:
    """Return the file of a face."""
    with resources.as_file(resources.files("matplotlib") / "mpl-data/fonts/ttf") as folder:
        return folder / _FACES[face]


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(str(font_path("regular"))).get_charmap())
