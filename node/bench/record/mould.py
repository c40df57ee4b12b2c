"""The rows that one worked-through study left, as text with holes where its identity was."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Table

from node.audit.tables import LEDGERS, Base
from node.database import UtcDateTime
from node.errors import InputError

#: What is counted, chained or kept once, and so is not cast study by study.
APART: Final = frozenset(
    {"chain", "model_usage", "installation", "lease", "follower", "activation"}
)
NULL: Final = "\ue000-\ue001"
"""A cell without a value."""
MARK: Final = re.compile("\ue000(\\d+)\ue001")
"""Stands in a cell for the hole of that number: private-use characters are in no real row."""

_UID: Final = r"(?:1\.2\.826\.0\.1\.3680043\.8\.498|2\.25)\.\d+"
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_HASH: Final = r"\b[0-9a-f]{64}\b"
_PROBABILITY: Final = r'(?<="probability":)0\.\d+(?:e-\d+)?'
_IDS: Final = {"job_id": "job", "report_id": "report", "note_id": "report"}

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hole:
    """One value that is another in every study.

    Attributes:
        kind: `uid`, `uuid`, `hash`, `text` (a patient ID, an accession number), `id`,
            `probability`, `time` (seconds after the study began), `seconds` (a duration) or
            `seal` (of the row that it stands in).
        value: What stood there.
        table: Whose number it is, of an `id`.
    """

    kind: str
    value: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class RowMould:
    """One row: its table, the columns, and for each the cell as text with marks."""

    table: str
    columns: tuple[str, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StudyMould:
    """All rows of one study.

    Attributes:
        holes: As the marks in the cells number them.
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
    tables = Base.metadata.sorted_tables
    found = {t.name: rows for t in tables if (rows := list(_rows(source, t, study)))}
    if "job" not in found:
        raise InputError(f"there is no job of study {study}")
    holes = _Holes(found)
    moulds = tuple(
        RowMould(table, tuple(row), tuple(holes.cell(table, column, row) for column in row))
        for table, rows in found.items()
        for row in rows
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

    def bent(row: RowMould) -> RowMould:
        cells = tuple(
            said if column == "malignancy" else cell
            for column, cell in zip(row.columns, row.cells, strict=True)
        )
        return replace(row, cells=cells) if row.table == "shadow_finding" else row

    return replace(mould, rows=tuple(map(bent, mould.rows)))


def _rows(source: sqlite3.Connection, table: Table, study: str) -> Iterator[_Row]:
    """Yield the rows of a table that belong to a study."""
    jobs = "SELECT id FROM job WHERE study_instance_uid = :study"
    associations = "SELECT association_id FROM instance WHERE study_instance_uid = :study"
    if table.name in APART:
        return
    if table.name == "association":
        condition = f"id IN ({associations})"
    elif table.name == LEDGERS["association"].__tablename__:
        condition = f"subject IN ({associations})"
    elif "study_instance_uid" in table.c:
        condition = "study_instance_uid = :study"
    elif "job_id" in table.c:
        condition = f"job_id IN ({jobs})"
    else:
        return
    order = "id" if "id" in table.c else "rowid"
    query = f"SELECT * FROM {table.name} WHERE {condition} ORDER BY {order}"  # noqa: S608 - ours
    for row in source.execute(query, {"study": study}):
        yield dict(row)


class _Holes:
    """Finds in every cell what belongs to the study alone."""

    def __init__(self, found: dict[str, list[_Row]]) -> None:
        self.holes: list[Hole] = []
        self._places: dict[Hole, int] = {}
        rows = [row for several in found.values() for row in several]
        self._shared = {row["bundle_sha256"] for row in rows if "bundle_sha256" in row}
        texts = {row["patient_id"] for row in rows if "patient_id" in row}
        headers = " ".join(row["header"] for row in found.get("instance", ()))
        texts |= set(re.findall(r'"accession_number":"([^"]+)"', headers))
        texts = {text for text in texts if text}
        named = "|".join(sorted(map(re.escape, texts), key=len, reverse=True))
        self._pattern = re.compile(
            f"(?P<uid>{_UID})|(?P<uuid>{_UUID})|(?P<hash>{_HASH})|(?P<probability>{_PROBABILITY})"
            r'|(?P<job>(?<="job":)\d+)|(?P<instance>(?<="instance":)\d+)'
            f"|(?P<text>{named or '(?!)'})"
        )
        times = [row["received_at"] for row in found["instance"]]
        self._begun = min(map(datetime.fromisoformat, times))

    def cell(self, table: str, column: str, row: _Row) -> str:
        """Return a cell as text, with marks."""
        value = row[column]
        if value is None:
            return NULL
        kind = Base.metadata.tables[table].c[column].type
        if isinstance(kind, UtcDateTime):
            seconds = (datetime.fromisoformat(value) - self._begun).total_seconds()
            return self._mark(Hole("time", repr(seconds)))
        whose = table if column == "id" else _IDS.get(column)
        if whose is not None and isinstance(value, int):
            return self._mark(Hole("id", str(value), whose))
        if column in {"probability", "total_s"}:
            return self._mark(Hole("seconds" if column == "total_s" else column, repr(value)))
        if column == "seal":
            return self._mark(Hole("seal", value))
        return self._pattern.sub(self._found, str(value))

    def _found(self, match: re.Match[str]) -> str:
        kind = str(match.lastgroup)
        if kind == "hash" and match[0] in self._shared:
            return match[0]
        is_id = kind in {"job", "instance"}
        return self._mark(Hole("id", match[0], kind) if is_id else Hole(kind, match[0]))

    def _mark(self, hole: Hole) -> str:
        if hole not in self._places:
            self._places[hole] = len(self.holes)
            self.holes.append(hole)
        return f"\ue000{self._places[hole]}\ue001"
