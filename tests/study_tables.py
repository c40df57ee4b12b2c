"""Small CSV tables of features, as a person would bring them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FEATURES = ("clinical_age", "glcm", "glrlm", "dl_000", "dl_001")


def write_table(
    path: Path,
    rows: int,
    changes: Mapping[str, Mapping[int, object]] | None = None,
    *,
    prefix: str = "C",
    without: tuple[str, ...] = (),
    effect: float = 1.0,
    seed: int = 0,
) -> Path:
    """Write a table of chance with a little of the class in it; `changes` set cells by row."""
    rng = np.random.default_rng(seed)
    names = tuple(name for name in FEATURES if name not in without)
    records: list[dict[str, object]] = []
    for row in range(rows):
        label = row % 2
        values = rng.normal(size=len(names)) + effect * label
        records.append(
            {"id": f"{prefix}{row:03d}", "label": label, "site": "AB"[row % 3 == 0]}
            | dict(zip(names, values, strict=True))
        )
    for column, cells in (changes or {}).items():
        for record in records:
            record.setdefault(column, "")
        for row, cell in cells.items():
            records[row][column] = cell
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, records[0])
        writer.writeheader()
        writer.writerows(records)
    return path
