"""Numbering and look-ups that every section needs while the report is composed, top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.study.report.blocks import Block, Grid, Picture, Section, Text
from models.study.report.figures import Drawing
from models.study.report.view import View
from models.study.report.wording import say
from models.study.results import Table


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
        """Place a table."""
        self._tables += 1
        self.placed.add(table.name)
        return Grid(table, self._tables, look)

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
