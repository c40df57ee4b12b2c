"""Strict training: every fitted step sees the training side of a fold only.

One patient-grouped outer cross-validation gives each case one out-of-fold score; the model that
is kept is then fitted the same way on all cases, and its threshold comes from those scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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
Preparation = Callable[[Rows], FeatureTable]
"""From the rows that a side fits on to the whole table as that side may see it: with columns
left out or values harmonised by what those rows alone say."""


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
        selected: Over how many outer folds each feature was chosen; empty where none is selected.
    """

    specification: ModelSpecification
    frozen: FrozenModel
    novelty: NoveltyReference
    out_of_fold: NDArray[np.float64]
    threshold: float
    auc: float
    sensitivity: float
    specificity: float
    selected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Side:
    """Rows to fit on and rows to score; the last side fits on everything and scores nothing."""

    fit: Rows
    score: Rows
    table: FeatureTable
    patients: NDArray[np.int64]
    settings: FusionSettings


@dataclass(frozen=True, slots=True)
class _Task:
    """One fit of one model. Equal tasks are fitted once: late fusions share their members."""

    name: str
    side: int
    rows: bytes

    @classmethod
    def of(cls, name: str, side: int, rows: Rows) -> _Task:
        return cls(name, side, rows.tobytes())


def train_strict(
    table: FeatureTable,
    settings: FusionSettings,
    jobs: int = 1,
    progress: Progress | None = None,
    *,
    models: Sequence[ModelSpecification] | None = None,
    prepare: Preparation | None = None,
) -> tuple[TrainedModel, ...]:
    """Train every model whose feature families are in the table.

    Args:
        table: The training cohort.
        settings: The fixed choices.
        jobs: Processes; the result does not depend on it.
        progress: Called with fits done and fits in all.
        models: Which models there are; the paper's nine unless given.
        prepare: What else is learned from the rows of a side before its models are fitted.

    Returns:
        The models in the paper's order. Models fused late need all their members.

    Raises:
        TooFewCasesError: A class has fewer patients than folds.
        FusionError: The table holds the features of no model.
    """
    wanted = buildable(table, models or nine_models())
    singles = {s.name: s for s in wanted if not s.members}
    sides = _sides(table, settings, prepare)
    usable = {s.name: usable_rows(table, s, singles) for s in wanted}

    tasks = {
        _Task.of(member, number, rows): (singles[member], side, rows)
        for owner in wanted
        for number, side in enumerate(sides)
        for rows in [side.fit[usable[owner.name][side.fit]]]
        for member in owner.members or (owner.name,)
    }
    fitted = dict(zip(tasks, _fit_all(list(tasks.values()), jobs, progress), strict=True))

    trained = []
    for owner in wanted:
        scores = np.full(len(table.ids), np.nan)
        chosen: Counter[str] = Counter()
        for number, side in enumerate(sides):
            rows = side.fit[usable[owner.name][side.fit]]
            names = owner.members or (owner.name,)
            members = [fitted[_Task.of(name, number, rows)] for name in names]
            model = _assemble(owner, members, side, rows)
            held = side.score[usable[owner.name][side.score]]
            if len(held):
                scores[held] = sigmoid(model.logit(side.table.columns(model.names)[held]))
            if len(side.score) and owner.families:
                chosen.update(model.names)
        # The last side was fitted on all rows: its model is the one that is kept.
        trained.append(judge_model(owner, model, scores, side.table, settings, chosen))
    return tuple(trained)


def buildable(
    table: FeatureTable, models: Sequence[ModelSpecification]
) -> tuple[ModelSpecification, ...]:
    """Return the models whose features, or all of whose members' features, are in the table.

    Raises:
        FusionError: There is none.
    """
    singles = {s.name for s in models if not s.members and s.candidates(table)}
    if not singles:
        raise FusionError("the table holds the features of none of the nine models")
    return tuple(s for s in models if s.name in singles or (s.members and {*s.members} <= singles))


def _sides(
    table: FeatureTable, settings: FusionSettings, prepare: Preparation | None
) -> tuple[_Side, ...]:
    patients = patient_numbers(table.patients)
    everything = np.arange(len(table.ids))
    folds = grouped_folds(table.labels, patients, settings.folds, settings.seed)
    return tuple(
        _Side(fit, hold, table if prepare is None else prepare(fit), patients, settings)
        for fit, hold in [*folds, (everything, everything[:0])]
    )


def usable_rows(
    table: FeatureTable,
    specification: ModelSpecification,
    singles: Mapping[str, ModelSpecification],
) -> NDArray[np.bool_]:
    """Return which cases have every candidate feature of the model, or of all its members.

    Args:
        table: Of the cases.
        specification: The model.
        singles: The models without members, by name.
    """
    parts = [singles[name] for name in specification.members or (specification.name,)]
    columns = [table.columns(part.candidates(table)) for part in parts]
    return np.asarray(np.isfinite(np.concatenate(columns, axis=1)).all(axis=1))


def _fit_all(
    tasks: list[tuple[ModelSpecification, _Side, Rows]],
    jobs: int,
    progress: Progress | None,
) -> list[FittedSvm]:
    def calls() -> Iterator[object]:
        for specification, side, rows in tasks:
            names = specification.candidates(side.table)
            yield delayed(_fit_one)(
                names,
                side.table.columns(names)[rows],
                side.table.labels[rows],
                side.patients[rows],
                side.settings,
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
    specification: ModelSpecification, members: list[FittedSvm], side: _Side, rows: Rows
) -> FrozenModel:
    if not specification.members:
        return members[0].frozen
    return fit_late_fusion(
        specification.members,
        members,
        side.table.labels[rows],
        side.patients[rows],
        side.settings,
    )


def judge_model(
    specification: ModelSpecification,
    frozen: FrozenModel,
    scores: NDArray[np.float64],
    table: FeatureTable,
    settings: FusionSettings,
    selected: Mapping[str, int],
) -> TrainedModel:
    """Fix a model's threshold on its held-out scores and describe its training cloud.

    Args:
        specification: Which model.
        frozen: Fitted on all usable cases.
        scores: (cases,) held-out probabilities, NaN where the case lacks an input.
        table: Of the same cases, as the model was fitted on it.
        settings: The fixed choices.
        selected: Over how many folds each feature was chosen.
    """
    there = np.isfinite(scores)
    labels, patients = table.labels[there], patient_numbers(table.patients)[there]
    threshold = weighted_youden(scores[there], labels, settings.youden_weight)
    sensitivity, specificity = sensitivity_specificity(scores[there], labels, threshold)
    values = table.columns(frozen.names)[there]
    return TrainedModel(
        specification=specification,
        frozen=frozen,
        novelty=fit_novelty(frozen, values, labels, patients, settings),
        out_of_fold=scores,
        threshold=threshold,
        auc=area_under_curve(scores[there], labels),
        sensitivity=sensitivity,
        specificity=specificity,
        selected=dict(sorted(selected.items())),
    )
