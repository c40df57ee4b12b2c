"""The rows that one worked-through study left, as text with holes where its identity was."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Table

from node.audit.tables import LEDGERS, Base
from node.database import UtcDateTime
from node.errors import InputError

#: What is counted, chained or kept once, and so is not cast study by study.
APART: Final = frozenset(
    {"chain", "model_usage", "installation", "lease", "follower", "activation"}
)
_UID: Final = r"(?:1\.2\.826\.0\.1\.3680043\.8\.498|2\.25)\.\d+"
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_HASH: Final = r"\b[0-9a-f]{64}\b"
_PROBABILITY: Final = r'(?<="probability":)0\.\d+(?:e-\d+)?'
_IDS: Final = {
    "job_id": "job",
    "report_id": "report",
    "note_id": "report",
    "delivery_id": "delivery",
}


@dataclass(frozen=True, slots=True)
class Hole:
    """One value that is another in every study.

    Attributes:
        kind: `uid`, `uuid`, `hash`, `text` (a patient ID, an accession number), `id` or
            `probability`.
        value: What stood there.
        table: Whose number it is, of an `id`.
    """

    kind: str
    value: str
    table: str = ""


Fill = Callable[[Sequence[Any]], Any]
"""Gives a cell from the values of the holes."""


@dataclass(frozen=True, slots=True)
class RowMould:
    """One row.

    Attributes:
        table: Its table.
        columns: Names, as `cells` are ordered.
        cells: For each column what it holds: a `Fill`, or seconds after the study began.
        number: Hole of the row's own number; None where the table has none.
    """

    table: str
    columns: tuple[str, ...]
    cells: tuple[Fill | float, ...]
    number: int | None


@dataclass(frozen=True, slots=True)
class StudyMould:
    """All rows of one study, in an order that keeps references.

    Attributes:
        threshold: Between benign and malignant; probabilities are drawn on the side of `malignant`.
    """

    name: str
    holes: tuple[Hole, ...]
    rows: tuple[RowMould, ...]
    threshold: float
    malignant: bool


def take(source: sqlite3.Connection, name: str, study: str) -> StudyMould:
    """Take the mould of a study.

    Args:
        source: A node's SQLite database, cells raw, rows by name.
        name: Of the mould.
        study: Its Study Instance UID.

    Raises:
        InputError: If the database has nothing of that study.
    """
    found = {
        table.name: rows
        for table in Base.metadata.sorted_tables
        if (rows := list(_rows(source, table, study)))
    }
    if "job" not in found:
        raise InputError(f"there is no job of study {study}")
    holes = _Holes(found)
    begun = _begin(found)
    moulds = tuple(
        _row_mould(Base.metadata.tables[table], row, holes, begun)
        for table, several in found.items()
        for row in several
    )
    findings = [str(row["finding"]) for row in found.get("finding", ())]
    said = re.search(r'"threshold":([\d.]+)', findings[0]) if findings else None
    return StudyMould(
        name=name,
        holes=tuple(holes.holes),
        rows=moulds,
        threshold=float(said[1]) if said else 0.5,
        malignant=any('"class":"malignant"' in finding for finding in findings),
    )


def dissent(mould: StudyMould) -> StudyMould:
    """Return the mould with a shadow bundle that says the opposite."""
    said = "benign" if mould.malignant else "malignant"
    rows = tuple(
        replace(
            row,
            cells=tuple(
                (lambda _: said) if name == "malignancy" else cell
                for name, cell in zip(row.columns, row.cells, strict=True)
            ),
        )
        if row.table == "shadow_finding"
        else row
        for row in mould.rows
    )
    return replace(mould, rows=rows)


def _rows(source: sqlite3.Connection, table: Table, study: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table that belong to a study."""
    columns = set(table.columns.keys())
    jobs = "SELECT id FROM job WHERE study_instance_uid = :study"
    associations = "SELECT association_id FROM instance WHERE study_instance_uid = :study"
    if table.name in APART:
        return
    if table.name == "association":
        condition = f"id IN ({associations})"
    elif table.name == LEDGERS["association"].__tablename__:
        condition = f"subject IN ({associations})"
    elif "study_instance_uid" in columns:
        condition = "study_instance_uid = :study"
    elif "job_id" in columns:
        condition = f"job_id IN ({jobs})"
    else:
        return
    order = "id" if "id" in columns else "rowid"
    query = f"SELECT * FROM {table.name} WHERE {condition} ORDER BY {order}"  # noqa: S608 - our names
    for row in source.execute(query, {"study": study}):
        yield dict(row)


class _Holes:
    """Finds in every cell what belongs to the study alone."""

    def __init__(self, found: dict[str, list[dict[str, Any]]]) -> None:
        self.holes: list[Hole] = []
        self._places: dict[Hole, int] = {}
        shared = {
            row[c]
            for rows in found.values()
            for row in rows
            for c in row
            if c == "bundle_sha256"
        }
        texts = {
            row["patient_id"]
            for rows in found.values()
            for row in rows
            if "patient_id" in row
        }
        headers = " ".join(row["header"] for row in found.get("instance", ()))
        texts |= set(re.findall(r'"accession_number":"([^"]+)"', headers))
        named = "|".join(sorted((re.escape(text) for text in texts if text), key=len, reverse=True))
        self._shared = shared
        self._pattern = re.compile(
            f'(?P<uid>{_UID})|(?P<uuid>{_UUID})|(?P<hash>{_HASH})|(?P<job>(?<="job":)\\d+)'
            f'|(?P<instance>(?<="instance":)\\d+)|(?P<probability>{_PROBABILITY})'
            + (f"|(?P<text>{named})" if named else "")
        )

    def place(self, hole: Hole) -> int:
        """Return the number of a hole, a new one where it is not known."""
        if hole not in self._places:
            self._places[hole] = len(self.holes)
            self.holes.append(hole)
        return self._places[hole]

    def text(self, cell: str) -> Fill:
        """Return what fills a text anew."""
        parts, places, last = [], [], 0
        for match in self._pattern.finditer(cell):
            kind = str(match.lastgroup)
            if kind == "hash" and match[0] in self._shared:
                continue
            hole = (
                Hole("id", match[0], kind) if kind in {"job", "instance"} else Hole(kind, match[0])
            )
            parts.append(cell[last : match.start()].replace("%", "%%"))
            places.append(self.place(hole))
            last = match.end()
        if not places:
            return lambda _: cell
        form = "%s".join([*parts, cell[last:].replace("%", "%%")])
        if form == "%s":
            return itemgetter(places[0])
        if len(places) == 1:
            only = places[0]
            return lambda values: form % (values[only],)
        pick = itemgetter(*places)
        return lambda values: form % pick(values)


def _begin(found: dict[str, list[dict[str, Any]]]) -> datetime:
    return min(_time(row["received_at"]) for row in found["job"] if row["received_at"])


def _time(cell: str) -> datetime:
    return datetime.fromisoformat(cell)


def _row_mould(table: Table, row: dict[str, Any], holes: _Holes, begun: datetime) -> RowMould:
    numbered = "id" in table.columns and table.columns["id"].type.python_type is int
    return RowMould(
        table=table.name,
        columns=tuple(row),
        cells=tuple(_cell(table, name, row[name], holes, begun) for name in row),
        number=holes.place(Hole("id", str(row["id"]), table.name)) if numbered else None,
    )


def _cell(
    table: Table,
    name: str,
    value: Any,  # noqa: ANN401 - a cell
    holes: _Holes,
    begun: datetime,
) -> Fill | float:
    if value is None:
        return lambda _: None
    if isinstance(table.columns[name].type, UtcDateTime):
        return (_time(value) - begun).total_seconds()
    whose = table.name if name == "id" else _IDS.get(name)
    if whose is not None and isinstance(value, int):
        return itemgetter(holes.place(Hole("id", str(value), whose)))
    if name == "probability":
        return itemgetter(holes.place(Hole("probability", repr(value))))
    if isinstance(value, str):
        return holes.text(value)
    return lambda _: value
