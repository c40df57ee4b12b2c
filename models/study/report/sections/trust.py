"""How far the figures can be trusted, and what the models rest on."""

from __future__ import annotations

from dataclasses import replace

from models.study.report.blocks import Block, Section, Text
from models.study.report.composing import Composer
from models.study.report.derived import gap_table, selected_table
from models.study.report.wording import say
from models.study.results import Table

_ROWS = 60  # of a table that no section was made for


def gap_section(composer: Composer) -> Section:
    """Strict against printed procedure."""
    table = gap_table(composer.view)
    if table is None:
        return composer.section("gap", Text(say("absent.gap"), "absent"))
    composer.placed.add("gap")
    return composer.section(
        "gap", Text(say("text.gap")), composer.picture("gap"), composer.grid(table)
    )


def robustness_section(composer: Composer) -> Section:
    """Subgroups, learning curve, abstention, and whatever table the study brings besides."""
    curve: list[Block] = [composer.picture("learning")]
    composer.placed.add("learning")
    return composer.section(
        "robustness",
        *composer.tables("subgroups"),
        *curve,
        *composer.tables("conformal"),
    )


def features_section(composer: Composer) -> Section:
    """Which features were selected, and which matter."""
    blocks: list[Block] = []
    table = selected_table(composer.view)
    if table is not None:
        blocks.append(composer.grid(table))
    if table is None or composer.view.tables("selected"):
        blocks += composer.tables("selected", "list")
    blocks.append(composer.picture("importance"))
    composer.placed.add("importance")
    return composer.section("features", *blocks)


def further_section(composer: Composer) -> Section | None:
    """Tables of the study that no other section shows: none is ever left out."""
    left = [
        table
        for table in composer.view.result.tables
        if table.rows and table.name not in composer.placed and table.name != "cost"
    ]
    if not left:
        return None
    return composer.section("further", *(composer.grid(_beginning(table)) for table in left))


def _beginning(table: Table) -> Table:
    """A table as long as a page carries; the CSV file has all of it."""
    if len(table.rows) <= _ROWS:
        return table
    more = say("text.beginning", shown=_ROWS, all=len(table.rows), name=table.name)
    return replace(table, rows=table.rows[:_ROWS], note=f"{table.note} {more}".strip())
