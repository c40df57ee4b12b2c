"""Fit one model: the scikit-learn Pipeline, its held-out calibration, and its frozen form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from models.fusion.calibration import Sigmoid, fit_sigmoid
from models.fusion.folds import Fold, folds_up_to, repeated_folds, sample_of_patients
from models.fusion.frozen import FrozenModel, FrozenSvm
from models.fusion.novelty import NoveltyReference
from models.fusion.search import SearchedSvm
from models.fusion.selection import LassoSelector, StudentFilter
from models.fusion.settings import FusionSettings

Matrix = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FittedSvm:
    """A calibrated model and what it said about its own training cases while held out.

    Attributes:
        frozen: Fitted on all rows.
        held_out: (cases,) log-odds of each row from a fit that had not seen it.
    """

    frozen: FrozenSvm
    held_out: Matrix


def build_pipeline(
    labels: Integers, patients: Integers, settings: FusionSettings, *, select: bool
) -> Pipeline:
    """Return the unfitted pipeline: z-score, Student t-test, LASSO, SVM with C by search.

    The search over C runs on the features selected from all rows given here; what is judged by
    an outer fold never enters. Splits are fixed beforehand, because patients stay together.

    Args:
        labels: (cases,) of the rows that will be fitted.
        patients: (cases,) a number a patient.
        settings: The fixed choices.
        select: Whether features are selected; otherwise all are used.
    """
    steps: list[tuple[str, object]] = [("scale", StandardScaler())]
    if select:
        lasso = LassoSelector(
            cv=folds_up_to(labels, patients, settings.lasso_folds, settings.seed),
            alphas=settings.lasso_alphas,
            eps=settings.lasso_eps,
            tol=settings.lasso_tolerance,
            max_iter=settings.lasso_iterations,
        )
        steps += [("student", StudentFilter(settings.significance)), ("lasso", lasso)]
    steps.append(("svm", SearchedSvm(settings.costs, search_folds(labels, patients, settings))))
    return Pipeline(steps)


def search_folds(labels: Integers, patients: Integers, settings: FusionSettings) -> list[Fold]:
    """Return the repeated folds on which C is chosen, over at most `search_rows` cases."""
    rows = sample_of_patients(labels, patients, settings.search_rows, settings.seed)
    folds = repeated_folds(
        labels[rows], patients[rows], settings.search_folds, settings.search_repeats, settings.seed
    )
    return [(rows[fit], rows[hold]) for fit, hold in folds]


def fit_calibrated(
    names: tuple[str, ...],
    values: Matrix,
    labels: Integers,
    patients: Integers,
    settings: FusionSettings,
    *,
    select: bool,
) -> FittedSvm:
    """Fit the pipeline on all rows and its sigmoid on held-out decisions.

    This is `CalibratedClassifierCV(ensemble=False)` with folds that keep patients together, and
    with the held-out scores kept: late fusion is trained on them.

    Args:
        names: Of the columns.
        values: (cases, features) finite.
        labels: (cases,) 0 or 1.
        patients: (cases,) a number a patient.
        settings: The fixed choices.
        select: Whether features are selected.

    Raises:
        TooFewCasesError: A class has fewer than two patients on some side of a fold.
    """
    decisions = np.empty(len(labels))
    for fit, hold in folds_up_to(labels, patients, settings.folds, settings.seed + 1):
        pipeline = build_pipeline(labels[fit], patients[fit], settings, select=select)
        pipeline.fit(values[fit], labels[fit])
        decisions[hold] = pipeline.decision_function(values[hold])
    calibration = fit_sigmoid(decisions, labels)
    pipeline = build_pipeline(labels, patients, settings, select=select).fit(values, labels)
    return FittedSvm(freeze(pipeline, names, calibration), calibration.logit(decisions))


def freeze(pipeline: Pipeline, names: tuple[str, ...], calibration: Sigmoid) -> FrozenSvm:
    """Take the arrays out of a fitted pipeline, restricted to the selected features."""
    chosen = np.arange(len(names))
    for step in ("student", "lasso"):
        if step in pipeline.named_steps:
            chosen = chosen[pipeline.named_steps[step].get_support()]
    scaler = pipeline.named_steps["scale"]
    svm = pipeline.named_steps["svm"].svm_
    return FrozenSvm(
        names=tuple(names[index] for index in chosen),
        mean=np.ascontiguousarray(scaler.mean_[chosen]),
        scale=np.ascontiguousarray(scaler.scale_[chosen]),
        support=np.ascontiguousarray(svm.support_vectors_),
        dual=np.ascontiguousarray(svm.dual_coef_[0]),
        intercept=float(svm.intercept_[0]),
        gamma=1.0 / len(chosen),  # what gamma="auto" means
        calibration=calibration,
    )


def fit_novelty(
    model: FrozenModel,
    values: Matrix,
    labels: Integers,
    patients: Integers,
    settings: FusionSettings,
) -> NoveltyReference:
    """Describe the training cloud of a model's features, with a cutoff from held-out cases.

    The covariance is shrunk (Ledoit & Wolf 2004), because selected features are many and alike.

    Args:
        model: Whose features; `values` has them as columns, in its order.
        values: (cases, features) raw.
        labels: (cases,) to keep the folds in proportion.
        patients: (cases,) a number a patient.
        settings: Folds, seed and quantile.
    """
    held_out = np.empty(len(values))
    for fit, hold in folds_up_to(labels, patients, settings.folds, settings.seed + 1):
        held_out[hold] = _cloud(model.names, values[fit], 1.0).distance(values[hold])
    cutoff = float(np.quantile(held_out, settings.novelty_quantile))
    return _cloud(model.names, values, cutoff)


def _cloud(names: tuple[str, ...], values: Matrix, cutoff: float) -> NoveltyReference:
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale[scale == 0] = 1.0  # constant in this fold
    precision = LedoitWolf(assume_centered=True).fit((values - mean) / scale).get_precision()
    return NoveltyReference(names, mean, scale, np.linalg.cholesky(precision), cutoff)
