"""From trained models to what the report says of each, on both cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.fusion.calibration import sigmoid
from models.fusion.strict import TrainedModel
from models.fusion.table import FeatureTable
from models.study.results import CohortName, DecisionCurve, Mode, ModelResult, Performance
from models.study.run_words import say
from models.study.statistics.decision import decision_curve
from models.study.statistics.performance import performance

FEWEST_OF_A_CLASS = 2
"""DeLong's variance needs two cases of each class."""


def judge_all(
    trained: Sequence[TrainedModel],
    training: FeatureTable,
    external: FeatureTable | None,
    mode: Mode,
    seed: int,
    notes: Mapping[str, str],
) -> tuple[ModelResult, ...]:
    """Judge every model: out-of-fold scores on training, the kept model on external.

    Args:
        trained: With thresholds fixed on out-of-fold scores; they are applied unchanged.
        training: The table that the models were trained on.
        external: The second cohort as the models may see it, or None.
        mode: How they were trained.
        seed: Of the bootstrap.
        notes: Name -> what a reader must know of a model.
    """
    return tuple(
        _judged(model, training, external, mode, seed, notes.get(model.specification.name, ""))
        for model in trained
    )


def _judged(
    model: TrainedModel,
    training: FeatureTable,
    external: FeatureTable | None,
    mode: Mode,
    seed: int,
    note: str,
) -> ModelResult:
    inside = performance(
        training.ids, model.out_of_fold, training.labels, model.threshold, training.patients, seed
    )
    outside, said = _outside(model, external, seed)
    return ModelResult(
        name=model.specification.name,
        title=model.specification.title,
        mode=mode,
        cross_validated=inside,
        external=outside,
        selected=model.selected,
        note=" ".join(filter(None, (note, said))),
    )


def _outside(
    model: TrainedModel, external: FeatureTable | None, seed: int
) -> tuple[Performance | None, str]:
    if external is None:
        return None, say("note.external_none")
    scores = external_scores(model, external)
    there = np.isfinite(scores)
    counts = [int((external.labels[there] == label).sum()) for label in (0, 1)]
    if min(counts) < FEWEST_OF_A_CLASS:
        cases = int(there.sum())
        return None, say("note.external_class", cases=cases, least=FEWEST_OF_A_CLASS)
    found = performance(
        external.ids, scores, external.labels, model.threshold, external.patients, seed
    )
    missing = int((~there).sum())
    if not missing:
        return found, ""
    return found, say("note.external_missing", missing=missing, cases=len(scores))


def external_scores(model: TrainedModel, external: FeatureTable) -> NDArray[np.float64]:
    """Return (cases,) probabilities, NaN where a case lacks an input of the model."""
    values = external.columns(model.frozen.names)
    there = np.isfinite(values).all(axis=1)
    scores = np.full(len(external.ids), np.nan)
    if there.any():
        scores[there] = sigmoid(model.frozen.logit(values[there]))
    return scores


def of_cohort(model: ModelResult, cohort: CohortName) -> Performance | None:
    """Return how a model did on a cohort, None where it was not judged there."""
    return model.cross_validated if cohort == "training" else model.external


def curves(models: Sequence[ModelResult], mode: Mode) -> tuple[DecisionCurve, ...]:
    """Return the decision curves of both cohorts."""
    found = []
    cohorts: tuple[CohortName, ...] = ("training", "external")
    for cohort in cohorts:
        scored = {
            model.name: (one.scores, one.labels)
            for model in models
            if (one := of_cohort(model, cohort)) is not None
        }
        if scored:
            found.append(decision_curve(scored, cohort, mode))
    return tuple(found)


def primary(models: Sequence[ModelResult]) -> ModelResult:
    """Return the model that extra analyses are about: the paper's proposal, else the best inside.

    Chosen before any external score is looked at. A late fusion is never taken, as it has no
    features of its own.
    """
    own = [model for model in models if not model.name.startswith("Post")]
    named = {model.name: model for model in own}
    return named.get("PreCRDL") or max(own, key=lambda model: model.cross_validated.auc.value)
