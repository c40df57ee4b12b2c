"""Paper mode: features selected and C chosen on the whole cohort before the cross-validation.

This is the procedure as the paper prints it (sections 2.7 and 2.8). It leaks: the cases that a
fold holds out have already taken part in the scaling, in the choice of features and of C, and
the calibration is fitted on the scores that it is judged by. It is here to be compared with
`models.fusion.strict`, never to be served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no stubs

from models.fusion.calibration import fit_sigmoid, sigmoid
from models.fusion.classifiers import FittedSvm, build_pipeline, freeze
from models.fusion.folds import grouped_folds, patient_numbers
from models.fusion.frozen import FrozenFusion, FrozenModel
from models.fusion.settings import FusionSettings
from models.fusion.specification import ModelSpecification, nine_models
from models.fusion.strict import Preparation, TrainedModel, buildable, judge_model, usable_rows
from models.fusion.table import FeatureTable

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]
Progress = Callable[[int, int], None]


def train_paper(
    table: FeatureTable,
    settings: FusionSettings,
    jobs: int = 1,
    progress: Progress | None = None,
    *,
    models: Sequence[ModelSpecification] | None = None,
    prepare: Preparation | None = None,
) -> tuple[TrainedModel, ...]:
    """Train every model whose feature families are in the table, as `train_strict` is called.

    Args:
        table: The training cohort.
        settings: The fixed choices.
        jobs: Processes; the result does not depend on it.
        progress: Called with fits done and fits in all.
        models: Which models there are; the paper's nine unless given.
        prepare: What else is learned from the whole cohort before anything is fitted.

    Returns:
        The models in the paper's order; `out_of_fold` comes from the leaking cross-validation.

    Raises:
        TooFewCasesError: A class has fewer patients than folds.
        FusionError: The table holds the features of no model.
    """
    wanted = buildable(table, models or nine_models())
    singles = {s.name: s for s in wanted if not s.members}
    patients = patient_numbers(table.patients)
    seen = table if prepare is None else prepare(np.arange(len(table.ids)))
    usable = {s.name: np.flatnonzero(usable_rows(table, s, singles)) for s in wanted}
    tasks = {
        (member, usable[owner.name].tobytes()): (singles[member], usable[owner.name])
        for owner in wanted
        for member in owner.members or (owner.name,)
    }
    calls = (
        delayed(_fit_alone)(
            names := specification.candidates(seen),
            seen.columns(names)[rows],
            seen.labels[rows],
            patients[rows],
            settings,
            select=bool(specification.families),
        )
        for specification, rows in tasks.values()
    )
    fitted: dict[tuple[str, bytes], FittedSvm] = {}
    for task, found in zip(tasks, Parallel(n_jobs=jobs, return_as="generator")(calls), strict=True):
        fitted[task] = found
        if progress is not None:
            progress(len(fitted), len(tasks))

    trained = []
    for owner in wanted:
        rows = usable[owner.name]
        members = [fitted[name, rows.tobytes()] for name in owner.members or (owner.name,)]
        model, held_out = _assembled(owner, members, seen.labels[rows], patients[rows], settings)
        scores = np.full(len(seen.ids), np.nan)
        scores[rows] = sigmoid(held_out)
        chosen = dict.fromkeys(model.names, settings.folds) if owner.families else {}
        trained.append(judge_model(owner, model, scores, seen, settings, chosen))
    return tuple(trained)


def fit_as_printed(
    names: tuple[str, ...],
    values: Matrix,
    labels: Integers,
    patients: Integers,
    settings: FusionSettings,
    *,
    select: bool,
) -> FittedSvm:
    """Select features and C on all rows, then cross-validate the machine alone.

    Args:
        names: Of the columns.
        values: (cases, features) finite.
        labels: (cases,) 0 or 1.
        patients: (cases,) a number a patient.
        settings: The fixed choices.
        select: Whether features are selected.

    Raises:
        TooFewCasesError: A class has fewer patients than folds.
    """
    pipeline = build_pipeline(labels, patients, settings, select=select).fit(values, labels)
    chosen = pipeline[:-1].transform(values)
    decisions = np.empty(len(labels))
    for fit, hold in grouped_folds(labels, patients, settings.folds, settings.seed):
        machine = SVC(kernel="rbf", gamma="auto", C=pipeline.named_steps["svm"].C_)
        decisions[hold] = machine.fit(chosen[fit], labels[fit]).decision_function(chosen[hold])
    calibration = fit_sigmoid(decisions, labels)
    return FittedSvm(freeze(pipeline, names, calibration), calibration.logit(decisions))


def _fit_alone(
    names: tuple[str, ...],
    values: Matrix,
    labels: Integers,
    patients: Integers,
    settings: FusionSettings,
    *,
    select: bool,
) -> FittedSvm:
    # One BLAS thread: sums then do not hang on how many processes share the machine.
    with threadpool_limits(limits=1):
        return fit_as_printed(names, values, labels, patients, settings, select=select)


def _assembled(
    owner: ModelSpecification,
    members: Sequence[FittedSvm],
    labels: Integers,
    patients: Integers,
    settings: FusionSettings,
) -> tuple[FrozenModel, Matrix]:
    """Return the model and its held-out log-odds; a fusion's head sees held-out probabilities."""
    if not owner.members:
        return members[0].frozen, members[0].held_out
    probabilities = np.stack([sigmoid(member.held_out) for member in members], axis=1)
    head = fit_as_printed(owner.members, probabilities, labels, patients, settings, select=False)
    return FrozenFusion(tuple(m.frozen for m in members), head.frozen), head.held_out
