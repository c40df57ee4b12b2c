"""Reporting checklists, answered from what the study has: TRIPOD+AI, CLAIM, METRICS.

The items are told in our own words; the published checklists are cited and not copied. An item is
answered "here" only where the report really shows it; what only the authors know is theirs to fill.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from models.study.report.errors import ReportError
from models.study.report.wording import say, words
from models.study.results import Table

_NAMES = ("tripod_ai", "claim", "metrics")


@dataclass(frozen=True, slots=True)
class Item:
    """One item.

    Attributes:
        number: As published.
        asks: What it asks for, in our words.
        sections: Keys of the sections that answer it; empty where only the authors can.
        needs: Facts without any of which the sections do not answer it.
        remark: What a reader must know of the answer, such as what the authors must add.
        answered: The answer itself, where it is the same for every study.
    """

    number: str
    asks: str
    sections: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    remark: str = ""
    answered: str = ""

    def __post_init__(self) -> None:
        if not self.number or not self.asks:
            raise ReportError("an item of a checklist needs a number and a text")

    def answer(self, facts: frozenset[str], numbers: Mapping[str, tuple[str, str]]) -> str:
        """Say where the item is answered."""
        if self.answered:
            return self.answered
        if not self.sections:
            where = say("checklist.authors")
        elif self.needs and not self.needs & facts:
            return say("checklist.not_done")
        else:
            places = [
                say("checklist.place", number=numbers[key][0], title=numbers[key][1])
                for key in self.sections
                if key in numbers
            ]
            where = ", ".join(places)
        return f"{where}. {self.remark}".strip() if self.remark else where


@dataclass(frozen=True, slots=True)
class Checklist:
    """A checklist; `key` is also the anchor of its section."""

    key: str
    about: str
    items: tuple[Item, ...]

    def table(self, facts: frozenset[str], numbers: Mapping[str, tuple[str, str]]) -> Table:
        """Answer every item."""
        rows = tuple((item.number, item.asks, item.answer(facts, numbers)) for item in self.items)
        return Table(
            self.key, say(f"heading.{self.key}"), tuple(words("columns")["checklist"]), rows
        )


@cache
def checklists() -> tuple[Checklist, ...]:
    """Read checklists/*.toml, in the order of the appendices."""
    folder = files("models.study.report").joinpath("checklists")
    found = []
    for name in _NAMES:
        data = tomllib.loads(folder.joinpath(f"{name}.toml").read_text("utf-8"))
        items = tuple(
            Item(
                row["number"],
                row["asks"],
                tuple(row.get("sections", ())),
                frozenset(row.get("needs", ())),
                row.get("remark", ""),
                row.get("answered", ""),
            )
            for row in data["item"]
        )
        found.append(Checklist(name, data["about"], items))
    return tuple(found)
