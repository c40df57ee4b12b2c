"""What a section of the report is made of; the template knows how each kind looks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.study.report.figures import Drawing
from models.study.results import Table

_NUMBER = re.compile(r"^[<>\u2264\u2265~]?[+\-\u2212]?\d[\d,]*(\.(?P<decimals>\d+))?")
_MOST = 0.6
"""Share of a column's filled cells that begin with a number for it to be set as numbers."""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `kind` is "plain", "absent" (says what this study lacks) or "warning"."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences, each with an optional bold head."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with its number in the report."""

    drawing: Drawing
    number: int


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with its number.

    Attributes:
        number: In the report.
        look: "plain"; "dense" for many columns; "matrix" for model against model; "list" for text.
        row_heads: The first column names its row.
    """

    table: Table
    number: int
    look: str = "plain"
    row_heads: bool = True

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns are set as numbers."""
        if self.look == "list":
            return (False,) * len(self.table.columns)
        return tuple(
            index > 0 and _is_numeric([row[index] for row in self.table.rows])
            for index in range(len(self.table.columns))
        )

    @property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """The rows with decimal points aligned: figure spaces fill up what a number lacks."""
        columns = [
            _aligned(column) if numeric else column
            for column, numeric in zip(_columns(self.table), self.numeric, strict=True)
        ]
        return tuple(zip(*columns, strict=True))


Block = Text | Bullets | Picture | Grid


@dataclass(frozen=True, slots=True)
class Section:
    """A numbered part of the report.

    Attributes:
        key: Anchor, and the name by which a checklist points here.
        number: "4", or a letter for an appendix.
        title: Heading.
        blocks: In order.
    """

    key: str
    number: str
    title: str
    blocks: tuple[Block, ...] = field(default=())


def _columns(table: Table) -> Sequence[tuple[str, ...]]:
    return list(zip(*table.rows, strict=True)) or [()] * len(table.columns)


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell.strip(" -\u2013")]
    return bool(filled) and sum(bool(_NUMBER.match(cell)) for cell in filled) >= _MOST * len(filled)


def _aligned(column: Sequence[str]) -> tuple[str, ...]:
    """Pad single numbers at their right; cells with more than a number stay as they are."""
    found = [match if (match := _NUMBER.fullmatch(cell)) else None for cell in column]
    decimals = [len(match["decimals"] or "") if match else 0 for match in found]
    most = max(decimals, default=0)
    return tuple(
        cell + ("" if digits else "\u2008") + "\u2007" * (most - digits)
        if match and digits < most
        else cell
        for cell, match, digits in zip(column, found, decimals, strict=True)
    )
