"""The tables of a study as CSV files: the rows that the report prints, one file a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from models.study.results import Table


def csv_bytes(table: Table) -> bytes:
    """Write a table as CSV (RFC 4180, UTF-8, header row first)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue().encode()


def write_tables(tables: Iterable[Table], folder: Path) -> tuple[Path, ...]:
    """Write each table to `folder/<name>.csv`; a table without rows keeps its header.

    Returns:
        The files, in the order of the tables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        path = folder / f"{table.name}.csv"
        path.write_bytes(csv_bytes(table))
        written.append(path)
    return tuple(written)
