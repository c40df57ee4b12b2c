"""A study from tables of features: `crdl models study --table CSV [--external CSV]`.

Columns: `id` and `label` (1 malignant, 0 benign, empty: not known) are required. Optional:
`patient` (the id where absent), `site`, `vendor`, `cohort` (`training` or `external`),
`intermediate` (0 or 1) and `exclusion` (a criterion's code or any reason; such a row is counted
in the flowchart only). `clinical_*` and `dl_*` are those families, every other column is a
radiomics feature, except what radiomics software writes beside them: a column without a heading
(row numbers) and `diagnostics_*`.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.fusion.table import FeatureTable
from models.study.flow import Flow
from models.study.material import (
    Material,
    StudyInputError,
    Subjects,
    usable_columns,
    without_images,
)
from models.study.run_words import say

_TEXTS = ("id", "label", "patient", "site", "vendor", "cohort", "intermediate", "exclusion")
_UNKNOWN = {"", "na", "nan", "n/a", "none", "null"}
_LARGEST = 1e100
"""A value beyond this is a division by nearly nothing: its square has no float64."""


def read_tables(table: Path, external: Path | None = None) -> Material:
    """Read a study from one table, or from one a cohort.

    Args:
        table: The training cohort; rows may be marked `external` in its column `cohort`.
        external: All its rows are external. It needs every feature column of `table`.

    Raises:
        StudyInputError: A file cannot be read, or a column or row of it cannot be used.
    """
    sheets = [_Sheet.read(table, "")]
    if external is not None:
        sheets.append(_Sheet.read(external, "external"))
        absent = [name for name in sheets[0].names if name not in sheets[1].names]
        if absent:
            raise StudyInputError(f"{external} lacks {len(absent)} columns, such as {absent[0]!r}")
    names = sheets[0].names
    if not names:
        raise StudyInputError(f"{table} has no feature column beside {', '.join(_TEXTS[:2])}")
    texts = {name: [t for sheet in sheets for t in sheet.texts[name]] for name in _TEXTS}
    values = np.concatenate([sheet.columns(names) for sheet in sheets])
    _check(texts, table)
    beyond = tuple(n for n in sheets[-1].names if n not in set(names))
    dropped = {
        say("dropped.not_a_feature"): tuple(dict.fromkeys(n for s in sheets for n in s.left_out)),
        say("dropped.external_only"): beyond,
    }
    inputs = {path.name: _sha256(path) for path in (table, external) if path is not None}
    return _material(texts, names, values, dropped, inputs)


def _material(
    texts: dict[str, list[str]],
    names: tuple[str, ...],
    values: NDArray[np.float64],
    dropped: dict[str, tuple[str, ...]],
    inputs: dict[str, str],
) -> Material:
    flow = Flow(texts["id"], texts["site"], texts["cohort"])
    flow.leave_out_listed(texts["exclusion"])
    flow.leave_out("labelled", {say("flow.no_label"): _ids(texts, "label", _UNKNOWN)})
    kept = flow.kept
    cases = _subjects(texts, names, values, kept)
    missing = without_images(cases.table)
    reasons = {say("flow.family", family=family): ids for family, ids in missing.items()}
    flow.leave_out("measured", reasons)
    cases = cases.rows(np.isin(cases.table.ids, np.array(flow.ids(), dtype=str)))
    inside = np.array(flow.cohorts()) == "training"
    if not inside.any():
        raise StudyInputError("the table holds no training case with a label and features")
    training = cases.rows(inside)
    columns, gone = usable_columns(training.table)
    if not columns:
        raise StudyInputError("no feature column is known in every training case and varies")
    return Material(
        training=training.with_columns(columns),
        external=cases.rows(~inside).with_columns(columns) if not inside.all() else None,
        flow=flow.steps(),
        dropped={why: found for why, found in {**dropped, **gone}.items() if found},
        inputs=inputs,
    )


def _subjects(
    texts: dict[str, list[str]],
    names: tuple[str, ...],
    values: NDArray[np.float64],
    kept: NDArray[np.bool_],
) -> Subjects:
    def chosen(column: str) -> tuple[str, ...]:
        return tuple(t for t, stays in zip(texts[column], kept, strict=True) if stays)

    ids = chosen("id")
    patients = tuple(patient or name for patient, name in zip(chosen("patient"), ids, strict=True))
    labels = np.array([int(float(text)) for text in chosen("label")], dtype=np.int64)
    return Subjects(
        FeatureTable(ids, patients, labels, names, values[kept]),
        {"site": chosen("site"), "vendor": chosen("vendor")},
        np.array([text in {"1", "1.0"} for text in chosen("intermediate")], dtype=bool),
    )


def _check(texts: dict[str, list[str]], path: Path) -> None:
    ids = texts["id"]
    if "" in ids:
        raise StudyInputError(f"{path}: row {ids.index('') + 2} has no id")
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise StudyInputError(f"{path}: the id {twice!r} is there twice")
    for name, label in zip(ids, texts["label"], strict=True):
        if label.lower() not in _UNKNOWN | {"0", "1", "0.0", "1.0"}:
            raise StudyInputError(f"{path}: case {name!r}: label is {label!r}, not 0 or 1")
    for name, cohort in zip(ids, texts["cohort"], strict=True):
        if cohort not in {"training", "external"}:
            raise StudyInputError(
                f"{path}: case {name!r}: cohort is {cohort!r}, not training or external"
            )
    whose: dict[str, set[str]] = {"training": set(), "external": set()}
    for name, patient, cohort in zip(ids, texts["patient"], texts["cohort"], strict=True):
        whose[cohort].add(patient or name)
    if shared := whose["training"] & whose["external"]:
        raise StudyInputError(
            f"{path}: patient {min(shared)!r} is in the training and in the external cohort"
        )


def _ids(texts: dict[str, list[str]], column: str, among: set[str]) -> tuple[str, ...]:
    return tuple(
        name for name, text in zip(texts["id"], texts[column], strict=True) if text.lower() in among
    )


@dataclass(frozen=True, slots=True)
class _Sheet:
    """One file: its texts by column, and its features."""

    path: Path
    texts: dict[str, list[str]]
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    frame: pd.DataFrame

    @classmethod
    def read(cls, path: Path, cohort: str) -> _Sheet:
        header = _header(path)
        texts = {name: str for name in _TEXTS if name in header}
        try:
            frame = pd.read_csv(
                path, dtype=texts, encoding="utf-8-sig", low_memory=False, index_col=False
            )
        except (OSError, ValueError) as error:  # pandas' ParserError is a ValueError
            raise StudyInputError(f"{path} cannot be read: {error}") from error
        if frame.empty:
            raise StudyInputError(f"{path} holds no case")
        rows = len(frame)
        columns = {
            n: frame[n].fillna("").str.strip().tolist() if n in texts else [""] * rows
            for n in _TEXTS
        }
        columns["cohort"] = [cohort or text or "training" for text in columns["cohort"]]
        others = [name for name in frame.columns if name not in texts]
        idle = [n for n in others if n.startswith(("Unnamed: ", "diagnostics_"))]
        names = tuple(name for name in others if name not in idle)
        return cls(path, columns, names, tuple(idle), frame)

    def columns(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Return (cases, len(names)) float64, NaN where there is no usable number."""
        chosen = self.frame.loc[:, list(names)]
        for name in chosen.columns[[not pd.api.types.is_numeric_dtype(t) for t in chosen.dtypes]]:
            numbers = pd.to_numeric(chosen[name], errors="coerce")
            wrong = numbers.isna() & chosen[name].notna()
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                raise StudyInputError(
                    f"{self.path}: case {self.texts['id'][row]!r}: {name} is "
                    f"{chosen[name].iloc[row]!r}, not a number"
                )
            chosen = chosen.assign(**{name: numbers})
        values = chosen.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.abs(values) < _LARGEST, values, np.nan)


def _header(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            header = next(csv.reader(handle), [])
    except (OSError, UnicodeDecodeError) as error:
        raise StudyInputError(f"{path} cannot be read: {error}") from error
    for name in ("id", "label"):
        if name not in header:
            raise StudyInputError(f"{path} has no column {name!r}")
    named = [name for name in header if name]
    if len(set(named)) != len(named):
        twice = next(name for name in named if named.count(name) > 1)
        raise StudyInputError(f"{path}: the column {twice!r} is there twice")
    return header


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
