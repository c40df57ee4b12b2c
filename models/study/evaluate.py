"""A bundle on a cohort of its own: scored as it is served, with every threshold left alone."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle, Score
from models.bundles.errors import MissingInputsError
from models.features.clinical import CLINICAL_NAMES
from models.features.extract import FeatureSettings
from models.features.feature_set import FeatureSet
from models.fusion.table import FeatureTable, family_of
from models.study.cohort import CohortError, read_cohort
from models.study.features import MeasuredCase, feature_table, measure_cohort
from models.study.judgement import ModelJudgement, judge
from models.study.provenance import image_uids
from models.study.strata import Stratum, performance_by_stratum, strata_of

Progress = Callable[[int, int], None]

AS_SERVED = "as served"


@dataclass(frozen=True, slots=True)
class ScoredCase:
    """One case with what the bundle says about it.

    Attributes:
        score: None where no model could answer; `refusal` then says why.
    """

    id: str
    patient: str
    label: int
    score: Score | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A bundle judged on a cohort.

    Attributes:
        name: Of the bundle.
        version: Of the bundle.
        sha256: Of the bundle.
        cases: In the order of the cohort.
        models: Each model on the cases that have all its inputs.
        strata: The bundle as served, over all cases and in subgroups.
        excluded: Cases that could not be measured, with the reason.
        overlap: Cases whose image the bundle was trained on.
    """

    name: str
    version: str
    sha256: str
    cases: tuple[ScoredCase, ...]
    models: tuple[ModelJudgement, ...]
    strata: tuple[Stratum, ...]
    excluded: Mapping[str, str]
    overlap: tuple[str, ...]

    @property
    def answered_by(self) -> dict[str, int]:
        """How many cases each model answered, most first."""
        return dict(Counter(case.score.model for case in self.cases if case.score).most_common())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know first, one line each."""
        found = []
        if self.overlap:
            found.append(
                f"training-overlap: the bundle was trained on the images of {len(self.overlap)} "
                f"of these cases, such as {self.overlap[0]}; the figures flatter it"
            )
        refused = sum(case.score is None for case in self.cases)
        if refused:
            found.append(f"not-scored: {refused} cases lack an input of every model")
        if self.excluded:
            first = next(iter(self.excluded))
            found.append(
                f"not-measured: {len(self.excluded)} cases, such as {first}: {self.excluded[first]}"
            )
        return tuple(found)


def evaluate_cohort(
    path_or_name: str | Path,
    cohort: Path,
    *,
    jobs: int = 0,
    backend: str | None = None,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a cohort with a bundle's settings and score it.

    Args:
        path_or_name: The bundle.
        cohort: Folder of `models.study.cohort`. Where its table marks external cases, only those
            are taken; otherwise all.
        jobs: Processes, 0 for one a core.
        backend: Where cases are measured, as `models.parallel` takes it.
        cache_folder: Where measured cases are kept; None: `<cohort>/.features`.
        progress: Called with cases done and cases in all.

    Raises:
        ModelsError: The bundle or the cohort cannot be used.
    """
    bundle = Bundle.load(path_or_name)
    settings = FeatureSettings.from_dict(bundle.description.settings)
    rows = read_cohort(cohort)
    wanted = [row for row in rows if row.cohort == "external"] or list(rows)
    measured, excluded = measure_cohort(
        wanted,
        settings,
        bundle.backbone,
        cache_folder=cache_folder or cohort / ".features",
        jobs=jobs,
        backend=backend,
        progress=progress,
    )
    if not measured:
        why = f": {excluded[0].id}: {excluded[0].reason}" if excluded else ""
        raise CohortError(f"no case could be measured{why}")
    table = feature_table(measured, settings, settings.semantic)
    return _evaluate(
        bundle,
        table,
        strata_of(measured),
        {row.id: row.reason for row in excluded},
        _uids(measured),
    )


def evaluate_table(path_or_name: str | Path, path: Path) -> Evaluation:
    """Score a table of features that were measured with the bundle's settings.

    Args:
        path_or_name: The bundle.
        path: CSV with `id`, `label` (1 malignant), optional `patient`, `site`, `cohort` (only
            `external` rows are taken where there are some) and `sop_instance_uid`, and the
            bundle's features as columns; a missing column or an empty cell is a missing input.

    Raises:
        ModelsError: The bundle or the table cannot be used.
    """
    bundle = Bundle.load(path_or_name)
    rows = _read(path)
    names = tuple(dict.fromkeys((*CLINICAL_NAMES, *bundle.description.features)))
    if not set(names) & set(rows[0]):
        raise CohortError(f"{path} has no column of the bundle's features, such as {names[-1]!r}")
    values = np.array([[_number(row, name) for name in names] for row in rows])
    table = FeatureTable(
        ids=tuple(row["id"] for row in rows),
        patients=tuple(row.get("patient") or row["id"] for row in rows),
        labels=np.array([int(row["label"]) for row in rows], dtype=np.int64),
        names=names,
        values=values,
    )
    groups = {"site": tuple(row.get("site") or "" for row in rows)}
    uids = {row["id"]: row.get("sop_instance_uid") or "" for row in rows}
    return _evaluate(bundle, table, groups, {}, uids)


def _evaluate(
    bundle: Bundle,
    table: FeatureTable,
    groups: Mapping[str, Sequence[str]],
    excluded: Mapping[str, str],
    uids: Mapping[str, str],
) -> Evaluation:
    known = tuple(dict.fromkeys((*table.names, *bundle.description.features)))
    table = _widened(table, known)
    cases = tuple(_scored(bundle, table, row) for row in range(len(table.ids)))
    probabilities = np.array([np.nan if c.score is None else c.score.probability for c in cases])
    called = np.array([c.score is not None and c.score.malignancy == "malignant" for c in cases])
    everybody = {AS_SERVED: (AS_SERVED,) * len(cases)}
    return Evaluation(
        name=bundle.name,
        version=bundle.version,
        sha256=bundle.sha256,
        cases=cases,
        models=tuple(judge(model, table) for model in bundle.models),
        strata=performance_by_stratum(
            "external", {**everybody, **groups}, table.labels, probabilities, called
        ),
        excluded=dict(excluded),
        overlap=tuple(case for case, uid in uids.items() if uid in bundle.images),
    )


def _widened(table: FeatureTable, names: tuple[str, ...]) -> FeatureTable:
    """Add absent columns as missing values: the models that need them do not answer."""
    absent = len(names) - len(table.names)
    empty = np.full((len(table.ids), absent), np.nan)
    values = np.concatenate([table.values, empty], axis=1)
    return FeatureTable(table.ids, table.patients, table.labels, names, values)


def _scored(bundle: Bundle, table: FeatureTable, row: int) -> ScoredCase:
    values = dict(zip(table.names, table.values[row].tolist(), strict=True))
    # A deep feature's number is its place; what the table lacks stays a gap there.
    numbered = {int(n.removeprefix("dl_")): v for n, v in values.items() if family_of(n) == "deep"}
    deep = [numbered.get(place, math.nan) for place in range(max(numbered, default=-1) + 1)]
    features = FeatureSet(
        radiomics={n: v for n, v in values.items() if family_of(n) == "radiomics"},
        deep=np.array(deep, dtype=np.float32),
        clinical={
            n: v if math.isfinite(v) else None
            for n, v in values.items()
            if family_of(n) == "clinical"
        },
    )
    name, patient, label = table.ids[row], table.patients[row], int(table.labels[row])
    try:
        return ScoredCase(name, patient, label, bundle.score(features))
    except MissingInputsError as error:
        return ScoredCase(name, patient, label, None, str(error))


def _uids(measured: Sequence[MeasuredCase]) -> dict[str, str]:
    cases = [row.case for row in measured]
    return dict(zip((case.id for case in cases), image_uids(cases), strict=True))


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows: list[dict[str, Any]] = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError) as error:
        raise CohortError(f"{path} cannot be read: {error}") from error
    absent = [name for name in ("id", "label") if rows and name not in rows[0]]
    if not rows or absent:
        raise CohortError(f"{path} " + (f"has no column {absent[0]!r}" if rows else "has no case"))
    rows = [row for row in rows if row.get("cohort") == "external"] or rows
    for row in rows:
        if row["label"] not in {"0", "1"}:
            raise CohortError(f"case {row['id']!r}: label is {row['label']!r}, not 0 or 1")
    return rows


def _number(row: Mapping[str, str], name: str) -> float:
    text = row.get(name) or ""
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise CohortError(f"case {row['id']!r}: {name} is {text!r}, no number") from error
