"""Analyses beside the main one: permutation importance and the learning curve of one model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # has no stubs

from models.fusion.classifiers import fit_calibrated
from models.fusion.errors import FusionError
from models.fusion.folds import grouped_folds, patient_numbers, sample_of_patients
from models.fusion.settings import FusionSettings
from models.fusion.specification import ModelSpecification
from models.fusion.strict import Preparation, train_strict, usable_rows
from models.fusion.table import FeatureTable
from models.fusion.threshold import area_under_curve

SHUFFLES = 10
DRAWS = 3
PARTS = (0.25, 0.5, 0.75, 1.0)


def permutation_importance(
    table: FeatureTable,
    specification: ModelSpecification,
    settings: FusionSettings,
    jobs: int,
    prepare: Preparation | None = None,
) -> dict[str, float]:
    """Return how much the held-out AUC falls when one feature is shuffled (Breiman 2001).

    The folds are those of `train_strict`, so the models are the same ones; a feature that a fold
    did not choose falls by nothing there. Correlated features stand in for each other and share
    the fall.

    Args:
        table: The training cohort.
        specification: A model that is no late fusion.
        settings: The fixed choices.
        jobs: Processes; the result does not depend on it.
        prepare: As in `train_strict`.

    Returns:
        Feature -> mean fall over the folds, largest first, features never chosen left out.
    """
    patients = patient_numbers(table.patients)
    usable = usable_rows(table, specification, {specification.name: specification})
    folds = grouped_folds(table.labels, patients, settings.folds, settings.seed)
    falls = Parallel(n_jobs=jobs)(
        delayed(_falls)(
            table if prepare is None else prepare(fit),
            specification,
            fit[usable[fit]],
            hold[usable[hold]],
            settings,
            number,
        )
        for number, (fit, hold) in enumerate(folds)
    )
    names = sorted({name for fold in falls for name in fold})
    means = {name: sum(fold.get(name, 0.0) for fold in falls) / len(falls) for name in names}
    return dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))


def _falls(
    table: FeatureTable,
    specification: ModelSpecification,
    fit: NDArray[np.int64],
    hold: NDArray[np.int64],
    settings: FusionSettings,
    number: int,
) -> dict[str, float]:
    names = specification.candidates(table)
    with threadpool_limits(limits=1):
        model = fit_calibrated(
            names,
            table.columns(names)[fit],
            table.labels[fit],
            patient_numbers(table.patients)[fit],
            settings,
            select=bool(specification.families),
        ).frozen
    labels, values = table.labels[hold], table.columns(model.names)[hold]
    if len(np.unique(labels)) < 2:
        return {}
    whole = area_under_curve(model.logit(values), labels)
    rng = np.random.default_rng((settings.seed, number))
    found = {}
    for place, name in enumerate(model.names):
        areas = []
        for _ in range(SHUFFLES):
            shuffled = values.copy()
            rng.shuffle(shuffled[:, place])
            areas.append(area_under_curve(model.logit(shuffled), labels))
        found[name] = whole - float(np.mean(areas))
    return found


def learning_curve(
    table: FeatureTable,
    specification: ModelSpecification,
    settings: FusionSettings,
    jobs: int,
) -> NDArray[np.float64]:
    """Return (sizes, 3): training cases, mean cross-validated AUC, standard deviation.

    Each draw is a random sample of whole patients that is cross-validated by itself, strictly. A
    size at which a class has too few patients is left out; the whole cohort is drawn once.

    Args:
        table: The training cohort.
        specification: A model that is no late fusion.
        settings: The fixed choices.
        jobs: Processes; the result does not depend on it.
    """
    patients = patient_numbers(table.patients)
    rows: list[tuple[float, float, float]] = []
    for part in PARTS:
        areas, sizes = [], []
        for draw in range(DRAWS if part < 1 else 1):
            chosen = _draw(table.labels, patients, part, settings.seed + draw)
            try:
                (model,) = train_strict(table.rows(chosen), settings, jobs, models=(specification,))
            except FusionError:  # too few of a class: the curve starts later
                continue
            areas.append(model.auc)
            sizes.append(int(chosen.sum()))
        if areas:
            spread = float(np.std(areas, ddof=1)) if len(areas) > 1 else 0.0
            rows.append((float(np.mean(sizes)), float(np.mean(areas)), spread))
    return np.array(rows).reshape(len(rows), 3)


def _draw(
    labels: NDArray[np.int64], patients: NDArray[np.int64], part: float, seed: int
) -> NDArray[np.bool_]:
    quarters = round(part * 4)
    chosen = np.zeros(len(labels), dtype=bool)
    if quarters == 4:
        return ~chosen
    left = np.arange(len(labels))
    for _ in range(quarters):
        share = -(-len(labels) // 4)
        taken = sample_of_patients(labels[left], patients[left], share, seed)
        chosen[left[taken]] = True
        left = np.delete(left, taken)
    return chosen


def top(importance: dict[str, float], count: int = 30) -> Sequence[tuple[str, float]]:
    """Return the features with the largest falls."""
    return list(importance.items())[:count]
