"""Strict training: every fitted step sees the training side of a fold only.

One patient-grouped outer cross-validation gives each case one out-of-fold score; the model that
is kept is then fitted the same way on all cases, and its threshold comes from those scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no stubs

from models.fusion.calibration import sigmoid
from models.fusion.classifiers import FittedSvm, fit_calibrated, fit_novelty
from models.fusion.errors import FusionError
from models.fusion.folds import grouped_folds, patient_numbers
from models.fusion.frozen import FrozenModel
from models.fusion.late_fusion import fit_late_fusion
from models.fusion.novelty import NoveltyReference
from models.fusion.settings import FusionSettings
from models.fusion.specification import ModelSpecification, nine_models
from models.fusion.table import FeatureTable
from models.fusion.threshold import area_under_curve, sensitivity_specificity, weighted_youden

Progress = Callable[[int, int], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """One of the nine models with its cross-validated performance.

    Attributes:
        specification: Which model.
        frozen: Fitted on all usable cases.
        novelty: Of its features in training.
        out_of_fold: (cases,) calibrated probability of each case from a fit that had not seen
            it; NaN where the case lacks an input of the model.
        threshold: Weighted Youden on `out_of_fold`.
        auc: Of `out_of_fold`.
        sensitivity: At the threshold.
        specificity: At the threshold.
    """

    specification: ModelSpecification
    frozen: FrozenModel
    novelty: NoveltyReference
    out_of_fold: NDArray[np.float64]
    threshold: float
    auc: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True, slots=True)
class _Cohort:
    """The training table with what every fit on it shares."""

    table: FeatureTable
    patients: NDArray[np.int64]
    settings: FusionSettings


@dataclass(frozen=True, slots=True)
class _Side:
    """Rows to fit on and rows to score; the last side fits on everything and scores nothing."""

    fit: Rows
    score: Rows


@dataclass(frozen=True, slots=True)
class _Task:
    """One fit of one model. Equal tasks are fitted once: late fusions share their members."""

    name: str
    rows: bytes

    @classmethod
    def of(cls, name: str, rows: Rows) -> _Task:
        return cls(name, rows.tobytes())


def train_strict(
    table: FeatureTable,
    settings: FusionSettings,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[TrainedModel, ...]:
    """Train every model whose feature families are in the table.

    Args:
        table: The training cohort.
        settings: The fixed choices.
        jobs: Processes; the result does not depend on it.
        progress: Called with fits done and fits in all.

    Returns:
        The models in the paper's order. Models fused late need all their members.

    Raises:
        TooFewCasesError: A class has fewer patients than folds.
        FusionError: The table holds the features of no model.
    """
    singles = {s.name: s for s in nine_models() if not s.members and s.candidates(table)}
    if not singles:
        raise FusionError("the table holds the features of none of the nine models")
    wanted = [s for s in nine_models() if s.name in singles or _all_in(s.members, singles)]
    cohort = _Cohort(table, patient_numbers(table.patients), settings)
    everything = np.arange(len(table.ids))
    folds = grouped_folds(table.labels, cohort.patients, settings.folds, settings.seed)
    sides = [_Side(fit, hold) for fit, hold in folds] + [_Side(everything, everything[:0])]
    usable = {s.name: _usable_rows(table, s, singles) for s in wanted}

    tasks = {
        _Task.of(member, rows): (singles[member], rows)
        for owner in wanted
        for side in sides
        for rows in [side.fit[usable[owner.name][side.fit]]]
        for member in owner.members or (owner.name,)
    }
    fitted = dict(zip(tasks, _fit_all(cohort, list(tasks.values()), jobs, progress), strict=True))

    trained = []
    for owner in wanted:
        scores = np.full(len(everything), np.nan)
        for side in sides:
            rows = side.fit[usable[owner.name][side.fit]]
            members = [fitted[_Task.of(name, rows)] for name in owner.members or (owner.name,)]
            model = _assemble(owner, members, cohort, rows)
            held = side.score[usable[owner.name][side.score]]
            if len(held):
                scores[held] = sigmoid(model.logit(table.columns(model.names)[held]))
        trained.append(_judge(owner, model, scores, cohort))  # the last side: fitted on all rows
    return tuple(trained)


def _all_in(members: tuple[str, ...], singles: Mapping[str, ModelSpecification]) -> bool:
    return bool(members) and set(members) <= set(singles)


def _usable_rows(
    table: FeatureTable,
    specification: ModelSpecification,
    singles: Mapping[str, ModelSpecification],
) -> NDArray[np.bool_]:
    """Return which cases have every candidate feature of the model, or of all its members."""
    parts = [singles[name] for name in specification.members or (specification.name,)]
    columns = [table.columns(part.candidates(table)) for part in parts]
    return np.asarray(np.isfinite(np.concatenate(columns, axis=1)).all(axis=1))


def _fit_all(
    cohort: _Cohort,
    tasks: list[tuple[ModelSpecification, Rows]],
    jobs: int,
    progress: Progress | None,
) -> list[FittedSvm]:
    def calls() -> Iterator[object]:
        for specification, rows in tasks:
            names = specification.candidates(cohort.table)
            yield delayed(_fit_one)(
                names,
                cohort.table.columns(names)[rows],
                cohort.table.labels[rows],
                cohort.patients[rows],
                cohort.settings,
                select=bool(specification.families),
            )

    done: list[FittedSvm] = []
    for result in Parallel(n_jobs=jobs, return_as="generator")(calls()):
        done.append(result)
        if progress is not None:
            progress(len(done), len(tasks))
    return done


def _fit_one(
    names: tuple[str, ...],
    values: NDArray[np.float64],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    settings: FusionSettings,
    *,
    select: bool,
) -> FittedSvm:
    # One BLAS thread: sums then do not hang on how many processes share the machine.
    with threadpool_limits(limits=1):
        return fit_calibrated(names, values, labels, patients, settings, select=select)


def _assemble(
    specification: ModelSpecification, members: list[FittedSvm], cohort: _Cohort, rows: Rows
) -> FrozenModel:
    if not specification.members:
        return members[0].frozen
    return fit_late_fusion(
        specification.members,
        members,
        cohort.table.labels[rows],
        cohort.patients[rows],
        cohort.settings,
    )


def _judge(
    specification: ModelSpecification,
    frozen: FrozenModel,
    scores: NDArray[np.float64],
    cohort: _Cohort,
) -> TrainedModel:
    there = np.isfinite(scores)
    labels, patients = cohort.table.labels[there], cohort.patients[there]
    threshold = weighted_youden(scores[there], labels, cohort.settings.youden_weight)
    sensitivity, specificity = sensitivity_specificity(scores[there], labels, threshold)
    values = cohort.table.columns(frozen.names)[there]
    return TrainedModel(
        specification=specification,
        frozen=frozen,
        novelty=fit_novelty(frozen, values, labels, patients, cohort.settings),
        out_of_fold=scores,
        threshold=threshold,
        auc=area_under_curve(scores[there], labels),
        sensitivity=sensitivity,
        specificity=specificity,
    )
