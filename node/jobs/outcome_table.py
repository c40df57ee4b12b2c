"""Outcomes as people hand them over: the rows of a CSV, or the same fields as JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from node.errors import InputError
from node.jobs.outcomes import OutcomeSaid, source_of

COLUMNS: Final = ("patient_id", "accession", "study", "tracking", "case", "malignant", "date")
_DATE: Final = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")
_MALIGNANT: Final = {"0": False, "1": True, "": None}
_MAXIMUM_ROWS: Final = 100_000


def outcomes_from_csv(text: str) -> tuple[OutcomeSaid, ...]:
    """Read a CSV with a heading of `COLUMNS`, or some of them; `malignant` is 1, 0 or empty.

    Raises:
        InputError: The first row that cannot be used, by its line, and why.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), restkey="more")
    heading = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = heading
    return outcomes_from_rows([(reader.line_num, row) for row in reader], heading, where="line")


def outcomes_from_json(data: object) -> tuple[OutcomeSaid, ...]:
    """Read one object, or a list of objects, with the names of `COLUMNS`.

    Raises:
        InputError: The first object that cannot be used, by its number, and why.
    """
    rows: list[Any] = data if isinstance(data, list) else [data]
    if not all(isinstance(row, dict) for row in rows):
        raise InputError("outcomes are an object or a list of objects")
    plain = [{str(k): _text(v) for k, v in row.items()} for row in rows]
    heading = sorted({name for row in plain for name in row})
    return outcomes_from_rows(list(enumerate(plain, 1)), heading, where="outcome")


def outcomes_from_rows(
    rows: Sequence[tuple[int, Mapping[str, Any]]], heading: Sequence[str], *, where: str
) -> tuple[OutcomeSaid, ...]:
    """Check heading and rows; see `outcomes_from_csv`."""
    unknown = [name for name in heading if name not in COLUMNS]
    if unknown:
        raise InputError(f"there is no column {unknown[0]!r}: use {', '.join(COLUMNS)}")
    if "malignant" not in heading:
        raise InputError("the column malignant is missing")
    if not rows or len(rows) > _MAXIMUM_ROWS:
        raise InputError(f"give 1 to {_MAXIMUM_ROWS} outcomes, not {len(rows)}")
    return tuple(_outcome(f"{where} {number}", row) for number, row in rows)


def _outcome(where: str, row: Mapping[str, Any]) -> OutcomeSaid:
    if "more" in row:
        raise InputError(f"{where}: more cells than the heading has")
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if cells["malignant"] not in _MALIGNANT:
        raise InputError(f"{where}: malignant is 1, 0 or empty, not {cells['malignant']!r}")
    if not (cells["patient_id"] or cells["accession"] or cells["study"]):
        raise InputError(f"{where}: give patient_id, accession or study")
    if any(len(cells[name]) > (80 if name == "case" else 64) for name in COLUMNS):
        raise InputError(f"{where}: a cell is longer than a DICOM identifier")
    about = tuple(cells[name] for name in ("patient_id", "accession", "study", "tracking", "case"))
    return OutcomeSaid(
        kind="pathology",
        source=source_of("pathology", *about),
        malignant=_MALIGNANT[cells["malignant"]],
        observed_at=_date(where, cells["date"]),
        patient_id=cells["patient_id"],
        accession_number=cells["accession"],
        study_instance_uid=cells["study"],
        tracking_uid=cells["tracking"],
        case_name=cells["case"],
    )


def _date(where: str, text: str) -> str:
    if not text:
        return ""
    found = _DATE.fullmatch(text)
    if found is None:
        raise InputError(f"{where}: the date {text!r} is not YYYY-MM-DD")
    return "-".join(found.groups())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)
