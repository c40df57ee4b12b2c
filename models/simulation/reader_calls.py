"""The simulated readers' calls as the reader study reads them: `python -m` this module.

The readers looked alone when the cohort was simulated (`readerN_suspicion` of clinical.csv). Then
they see what a model says of each external case, in the `scores.csv` of `crdl models evaluate`,
and call again. Columns written: reader, id, aided, call, confidence.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.simulation.cohort import TABLE
from models.simulation.reader_study import with_model
from models.simulation.settings import SimulationError, design

COLUMNS = ("reader", "id", "aided", "call", "confidence")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a reader sees of the model: its probability and its operating point, both 0-1."""

    probability: float
    threshold: float

    def __post_init__(self) -> None:
        if not (0 <= self.probability <= 1 and 0 < self.threshold < 1):
            raise SimulationError(
                f"probability {self.probability} and threshold {self.threshold} lie within 0 and 1"
            )


def reader_calls(
    rows: Sequence[Mapping[str, str]], shown: Mapping[str, Shown]
) -> list[tuple[str, str, int, int, str]]:
    """Return every reader's calls, alone and aided, of the cases that the model scored.

    Args:
        rows: Of clinical.csv.
        shown: By case.

    Raises:
        SimulationError: no case was scored, or a row lacks a reader's suspicion.
    """
    calls = []
    readers = range(1, len(design("diagnosis")["trust_in_model"]) + 1)
    for reader in readers:
        for row in rows:
            if row["id"] not in shown:
                continue
            alone = _number(row, f"reader{reader}_suspicion")
            seen = shown[row["id"]]
            aided = with_model(alone, reader, seen.probability, seen.threshold)
            for place, suspicion in enumerate((alone, aided)):
                call = int(suspicion >= 0.5)
                calls.append((f"reader {reader}", row["id"], place, call, f"{suspicion:.4f}"))
    if not calls:
        raise SimulationError("the model scored none of these cases")
    return calls


def write_reader_calls(cohort: Path, scores: Path, out: Path) -> int:
    """Write the calls of a cohort's external cases; the same inputs write the same bytes.

    Args:
        cohort: folder of `crdl simulate`.
        scores: CSV with `id`, `probability` and `threshold` (0.5 where it is not there).
        out: CSV to write.

    Returns:
        How many cases each reader called.

    Raises:
        SimulationError: a file cannot be read or used.
    """
    external = [row for row in _rows(cohort / TABLE) if row.get("cohort") == "external"]
    shown = {
        row["id"]: Shown(
            _number(row, "probability"), _number(row, "threshold") if "threshold" in row else 0.5
        )
        for row in _rows(scores)
        if row.get("probability")  # a case that the model could not score has none
    }
    calls = reader_calls(external, shown)
    with out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        writer.writerows(calls)
    return len({case for _, case, *_ in calls})


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            return list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError) as error:
        raise SimulationError(f"{path} cannot be read: {error}") from error


def _number(row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (KeyError, ValueError) as error:
        raise SimulationError(f"case {row.get('id')!r} has no number in {column!r}") from error
    if not math.isfinite(value):
        raise SimulationError(f"case {row['id']!r} has no number in {column!r}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the calls; exit status 1 with one line where that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path, help="folder of crdl simulate")
    parser.add_argument("scores", type=Path, help="scores.csv of crdl models evaluate")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    asked = parser.parse_args(arguments)
    try:
        cases = write_reader_calls(asked.cohort, asked.scores, asked.out)
    except SimulationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{asked.out}: {cases} cases\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
