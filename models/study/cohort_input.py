"""A study from a cohort on disk: DICOM US, SEG and clinical.csv, measured as the node does.

Beside the columns of `models.study.cohort` the table may have `intermediate` (1: a lesion of
intermediate malignancy, counted as malignant) and `exclusion`: the code of a criterion of
run_words.toml, or any reason. An excluded row needs no images; it is counted in the flowchart.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.backbone.weights import read_pinned
from models.features.extract import FeatureSettings
from models.features.semantic import SemanticThresholds, learn_thresholds
from models.fusion.table import FeatureTable
from models.study.cohort import TABLE, CohortCase, read_cohort
from models.study.cost import Cost
from models.study.features import Exclusion, MeasuredCase, feature_table, measure_cohort
from models.study.flow import Flow
from models.study.material import Material, Reads, StudyInputError, Subjects, usable_columns
from models.study.provenance import again_hashes, input_hashes
from models.study.strata import strata_of

Measure = Callable[
    [Sequence[CohortCase], FeatureSettings],
    tuple[tuple[MeasuredCase, ...], tuple[Exclusion, ...]],
]


def read_cohort_material(
    folder: Path,
    backbone: Path | None,
    *,
    settings: FeatureSettings | None = None,
    cache_folder: Path | None = None,
    jobs: int = 0,
    backend: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    cost: Cost | None = None,
) -> Material:
    """Measure a cohort as it is, as it was outlined by others or again, and standardised.

    Args:
        folder: Of `models.study.cohort`.
        backbone: Weights of the deep model; None measures no deep features.
        settings: How features are measured; semantic thresholds are learned from the first
            reader's classes in the training cohort.
        cache_folder: Where measured cases are kept between runs; None: `<folder>/.features`.
        jobs: Processes, 0 for one a core; nothing measured depends on it.
        backend: Where cases are measured, as `models.parallel` takes it.
        progress: Called with cases done and cases of the current measurement.
        cost: Counts the time of each measurement.

    Raises:
        CohortError: The table cannot be used.
        StudyInputError: No training case could be measured.
    """
    cost = cost or Cost()
    pinned = "" if backbone is None else read_pinned(backbone, None)[1]
    wanted = replace(settings or FeatureSettings(), backbone_sha256=pinned)
    cases = read_cohort(folder)
    listed = _listed(folder)

    def measure(
        rows: Sequence[CohortCase], how: FeatureSettings
    ) -> tuple[tuple[MeasuredCase, ...], tuple[Exclusion, ...]]:
        return measure_cohort(
            rows,
            how,
            backbone,
            cache_folder=cache_folder or folder / ".features",
            jobs=jobs,
            backend=backend,
            progress=progress,
        )

    with cost.stage("measuring"):
        measured, excluded = measure(cases, wanted)
    flow = Flow(*(listed[name] for name in ("id", "site", "cohort")))
    flow.leave_out_listed(listed["exclusion"])
    reasons: dict[str, list[str]] = {}
    for one in excluded:
        reasons.setdefault(one.reason, []).append(one.id)
    flow.leave_out("measured", reasons)
    training = [row for row in measured if row.case.cohort == "training"]
    if not training:
        why = f": {excluded[0].id}: {excluded[0].reason}" if excluded else ""
        raise StudyInputError(f"no training case could be measured{why}")
    thresholds = learn_thresholds(
        [row.measurements for row in training], [row.case.reads for row in training]
    )
    wanted = replace(wanted, semantic=thresholds)
    between = {n for n, yes in zip(listed["id"], listed["intermediate"], strict=True) if yes == "1"}
    sides = _by_cohort(measured)
    subjects = {
        name: Subjects(
            feature_table(rows, wanted, thresholds),
            strata_of(rows),
            np.array([row.case.id in between for row in rows], dtype=bool),
        )
        for name, rows in sides.items()
    }
    columns, dropped = usable_columns(subjects["training"].table)
    subjects = {name: one.with_columns(columns) for name, one in subjects.items()}
    with cost.stage("measuring the second reader's outlines"):
        second = _outlined(training, "second_seg", wanted, thresholds, measure)
    with cost.stage("measuring the first reader's second outlines"):
        again = _outlined(training, "again_seg", wanted, thresholds, measure)
    with cost.stage("measuring on standardised intensities"):
        standardised = _standardised(cases, wanted, thresholds, measure, subjects)
    return Material(
        training=subjects["training"],
        external=subjects.get("external"),
        flow=flow.steps(),
        dropped=dropped,
        inputs={
            **{k: str(v) for k, v in input_hashes(folder, cases, backbone, wanted.sha256).items()},
            **again_hashes(folder, cases),
        },
        settings=wanted.to_dict(),
        simulated=any(row.simulated for row in measured),
        second=second,
        again=again,
        reads=_reads(training),
        standardised=standardised,
    )


def _listed(folder: Path) -> dict[str, list[str]]:
    """Read what the flowchart counts: every row of the table, excluded ones too."""
    with (folder / TABLE).open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.DictReader(handle))
    names = ("id", "site", "cohort", "exclusion", "intermediate")
    found = {name: [(row.get(name) or "").strip() for row in rows] for name in names}
    found["cohort"] = [cohort or "training" for cohort in found["cohort"]]
    if wrong := set(found["intermediate"]) - {"", "0", "1"}:
        raise StudyInputError(f"{folder / TABLE}: intermediate is {min(wrong)!r}, not 0 or 1")
    return found


def _by_cohort(rows: Sequence[MeasuredCase]) -> dict[str, list[MeasuredCase]]:
    names = ("training", "external")
    found = {name: [row for row in rows if row.case.cohort == name] for name in names}
    return {name: own for name, own in found.items() if own}


def _outlined(
    training: Sequence[MeasuredCase],
    which: str,
    settings: FeatureSettings,
    thresholds: SemanticThresholds,
    measure: Measure,
) -> FeatureTable | None:
    """Measure the training cases that have another outline, on that outline."""
    others = [(row.case, getattr(row.case, which)) for row in training]
    drawn = [replace(case, seg=seg) for case, seg in others if seg is not None]
    found, _ = measure(drawn, settings) if drawn else ((), ())
    return feature_table(found, settings, thresholds) if found else None


def _reads(training: Sequence[MeasuredCase]) -> tuple[Reads, Reads] | None:
    """Both readers' semantic classes, where a second reader gave any."""
    first = {row.case.id: row.case.reads for row in training}
    second = {row.case.id: row.case.second_reads for row in training}
    return (first, second) if any(second.values()) else None


def _standardised(
    cases: Sequence[CohortCase],
    settings: FeatureSettings,
    thresholds: SemanticThresholds,
    measure: Measure,
    subjects: dict[str, Subjects],
) -> dict[str, FeatureTable]:
    """Measure all again with `region_zscore` (paper, section 2.5), for the cases of the study."""
    if settings.imaging.standardisation != "none":
        return {}
    imaging = replace(settings.imaging, standardisation="region_zscore")
    again = replace(settings, imaging=imaging)
    wanted = {name for one in subjects.values() for name in one.table.ids}
    found, _ = measure([case for case in cases if case.id in wanted], again)
    tables = {
        name: feature_table(rows, again, thresholds) for name, rows in _by_cohort(found).items()
    }
    if any(tables[name].ids != one.table.ids for name, one in subjects.items() if name in tables):
        return {}  # a lesion without spread cannot be standardised: nothing to compare
    columns, _ = usable_columns(tables["training"])
    return {
        name: FeatureTable(table.ids, table.patients, table.labels, columns, table.columns(columns))
        for name, table in tables.items()
    }
