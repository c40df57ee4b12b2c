"""Numbering and look-ups that every section needs while the report is composed, top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from models.study.report.blocks import Block, Grid, Picture, Section, Text
from models.study.report.figures import Drawing
from models.study.report.view import View
from models.study.report.wording import say
from models.study.results import Table

_MOST_ROWS, _MOST_LETTERS = 60, 600
_WHOLE = {"manifest"}
"""No CSV file holds it, so the page does."""


def _shortened(table: Table) -> Table:
    rows = tuple(
        tuple(
            cell if len(cell) <= _MOST_LETTERS else cell[:_MOST_LETTERS] + "\N{HORIZONTAL ELLIPSIS}"
            for cell in row
        )
        for row in table.rows[:_MOST_ROWS]
    )
    if rows == table.rows or table.name in _WHOLE:
        return table
    cut = say("table.cut", shown=len(rows), all=len(table.rows), name=table.name)
    return replace(table, rows=rows, note=f"{table.note} {cut}".strip())


@dataclass(slots=True)
class Composer:
    """Hands out blocks and counts figures, tables and sections.

    Attributes:
        view: The study.
        drawings: Its figures by name.
    """

    view: View
    drawings: Mapping[str, Drawing]
    _figures: int = 0
    _tables: int = 0
    _sections: int = 0
    _appendices: int = 0
    placed: set[str] = field(default_factory=set)
    """Names of the study's tables that a section has shown."""

    def section(self, key: str, *blocks: Block, appendix: bool = False) -> Section:
        """Number a section; appendices get letters."""
        if appendix:
            self._appendices += 1
            number = chr(ord("A") + self._appendices - 1)
        else:
            self._sections += 1
            number = str(self._sections)
        return Section(key, number, say(f"heading.{key}"), blocks)

    def picture(self, name: str) -> Block:
        """Place a figure, or the sentence that says why there is none."""
        drawing = self.drawings.get(name)
        if drawing is None:
            return Text(say(f"absent.{name}"), "absent")
        self._figures += 1
        return Picture(drawing, self._figures)

    def grid(self, table: Table, look: str = "plain") -> Grid:
        """Place a table; what is too long for a page stands in its CSV file, and it says so."""
        self._tables += 1
        self.placed.add(table.name)
        return Grid(_shortened(table), self._tables, look)

    def tables(self, name: str, look: str = "plain", absent: str = "") -> tuple[Block, ...]:
        """Place the study's tables `name` and `name_*`, or say why there are none.

        Args:
            name: Of the table, or what its parts begin with.
            look: As `Grid` has it.
            absent: Key of the sentence in [absent]; the name unless given.
        """
        found = [table for table in self.view.tables(name) if table.name not in self.placed]
        if not found:
            return (Text(say(f"absent.{absent or name}"), "absent"),)
        return tuple(self.grid(table, look) for table in found)
