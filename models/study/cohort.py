"""A cohort on disk: clinical.csv beside DICOM US and SEG, as a hospital or the simulation has it.

Columns: `id`, `label` (1 malignant), `grey` (the B-mode image) and `reader1_seg` (the SEG) are
required, paths relative to the table. Optional: `patient`, `site`, `cohort` (`training` or
`external`), `vendor`, `colour` (the Doppler image), `age` and `sex` (used where the header is
silent), `reader1_morphology`, `reader1_boundary`, `reader1_echo`, `reader1_flow` (0 or 1, the
reading that thresholds are learned from), and `reader2_seg`, `reader2_morphology` and so on (for
agreement between readers). `again.csv` beside it (`id`, `seg`) names what the first reader outlined
a second time, for the agreement of one reader. A row whose column `exclusion` says why it was left
out of the study is passed over.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from models.errors import ModelsError
from models.features.semantic.values import BOUNDARY, CLASSES, ECHO, FLOW, MORPHOLOGY

TABLE = "clinical.csv"
AGAIN = "again.csv"
_REQUIRED = ("id", "label", "grey", "reader1_seg")
_READ_COLUMNS = {
    "flow": FLOW,
    "morphology": MORPHOLOGY,
    "boundary": BOUNDARY,
    "echo": ECHO,
}


Cohort = Literal["training", "external"]


class CohortError(ModelsError):
    """The cohort's table is not there, lacks a column, or a row of it cannot be used."""


@dataclass(frozen=True, slots=True)
class CohortCase:
    """One row of the table.

    Attributes:
        id: Unique.
        patient: Whose lesion; the id where the table does not say.
        site: "" where the table does not say.
        vendor: Likewise.
        cohort: Training unless the table says external.
        label: 1 malignant, 0 benign.
        grey: The B-mode image.
        colour: The Doppler image, or None.
        seg: The first reader's SEG.
        second_seg: The second reader's SEG, or None.
        age: Years as the table has them, or "".
        sex: M or F as the table has it, or "".
        reads: The first reader's classes by semantic feature; what was not read is absent.
        second_reads: The second reader's, likewise.
        again_seg: What the first reader outlined a second time, or None.
    """

    id: str
    patient: str
    site: str
    vendor: str
    cohort: Cohort
    label: int
    grey: Path
    colour: Path | None
    seg: Path
    second_seg: Path | None
    age: str
    sex: str
    reads: Mapping[str, str | None]
    second_reads: Mapping[str, str | None] = field(default_factory=dict)
    again_seg: Path | None = None

    def __post_init__(self) -> None:
        if not self.id or self.label not in (0, 1):
            raise CohortError(f"case {self.id!r}: an id and a label of 0 or 1 are needed")


def read_cohort(folder: Path) -> tuple[CohortCase, ...]:
    """Read the table of a cohort.

    Raises:
        CohortError: It is not there, lacks a required column, names a case twice, or has a row
            that cannot be used.
    """
    rows = _table(folder / TABLE, _REQUIRED)
    eligible = [row for row in rows if not (row.get("exclusion") or "").strip()]
    again = _again(folder, {row["id"] for row in rows})
    cases = tuple(replace(_case(row, folder), again_seg=again.get(row["id"])) for row in eligible)
    if len({case.id for case in cases}) != len(cases):
        raise CohortError(f"{folder / TABLE} names a case twice")
    shared = {c.patient for c in cases if c.cohort == "training"} & {
        c.patient for c in cases if c.cohort == "external"
    }
    if shared:
        raise CohortError(f"patient {min(shared)} is in the training and in the external cohort")
    return cases


def _table(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
    except OSError as error:
        raise CohortError(f"{path} cannot be read: {error.strerror}") from error
    if not rows:
        raise CohortError(f"{path} holds no case")
    absent = [name for name in required if name not in rows[0]]
    if absent:
        raise CohortError(f"{path} has no column {absent[0]!r}")
    return rows


def _again(folder: Path, known: Collection[str]) -> dict[str, Path]:
    """Read which case the first reader outlined again, and where; {} without such a table."""
    path = folder / AGAIN
    if not path.exists():
        return {}
    rows = _table(path, ("id", "seg"))
    names = [row["id"] for row in rows]
    if strangers := set(names) - set(known):
        raise CohortError(f"{path}: there is no case {min(strangers)!r} in {TABLE}")
    if len(set(names)) != len(names):
        raise CohortError(f"{path} names a case twice")
    return {row["id"]: folder / row["seg"] for row in rows}


def _case(row: Mapping[str, str], folder: Path) -> CohortCase:
    name = row["id"]
    if row["label"] not in {"0", "1"}:
        raise CohortError(f"case {name!r}: label is {row['label']!r}, not 0 or 1")
    if not row["grey"] or not row["reader1_seg"]:
        raise CohortError(f"case {name!r} has no image or no segmentation")
    cohort = row.get("cohort") or "training"
    if cohort not in {"training", "external"}:
        raise CohortError(f"case {name!r}: cohort is {cohort!r}, not training or external")
    return CohortCase(
        id=name,
        patient=row.get("patient") or name,
        site=row.get("site") or "",
        vendor=row.get("vendor") or "",
        cohort=cast("Cohort", cohort),
        label=int(row["label"]),
        grey=folder / row["grey"],
        colour=_path(row, "colour", folder),
        seg=folder / row["reader1_seg"],
        second_seg=_path(row, "reader2_seg", folder),
        age=row.get("age") or "",
        sex=row.get("sex") or "",
        reads=_reads(row, "reader1"),
        second_reads=_reads(row, "reader2"),
    )


def _reads(row: Mapping[str, str], reader: str) -> dict[str, str | None]:
    return {
        feature: CLASSES[feature][int(value)]
        for column, feature in _READ_COLUMNS.items()
        if (value := row.get(f"{reader}_{column}")) in {"0", "1"}
    }


def _path(row: Mapping[str, str], column: str, folder: Path) -> Path | None:
    return folder / row[column] if row.get(column) else None
