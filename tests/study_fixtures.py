"""A study small enough for a unit test: chance data, real cross-validation, real statistics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.fusion.specification import nine_models
from models.fusion.table import family_of
from models.fusion.threshold import weighted_youden
from models.study.results import (
    CohortName,
    DecisionCurve,
    FlowStep,
    Mode,
    ModelResult,
    ReaderPoint,
    StudyResult,
    Table,
)
from models.study.statistics.decision import decision_curve
from models.study.statistics.operating import wilson
from models.study.statistics.performance import compare_all, performance

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
TRAINING, EXTERNAL, KEPT, FOLDS = 240, 78, 8, 5
_CLINICAL = ("age", "size", "flow", "morphology", "echo")


@cache
def a_cohort(seed: int = 3) -> tuple[tuple[str, ...], Floats, Labels]:
    """Cases of chance: an eighth of the features carry a little of the class."""
    rng = np.random.default_rng(seed)
    names = (
        *(f"clinical_{name}" for name in _CLINICAL),
        *(f"original_glcm_feature{i:02d}" for i in range(60)),
        *(f"dl_{i:03d}" for i in range(60)),
    )
    labels = (rng.random(TRAINING + EXTERNAL) < 0.4).astype(np.int64)
    strength = np.where(rng.random(len(names)) < 0.12, rng.uniform(0.3, 0.7, len(names)), 0)
    strength[: len(_CLINICAL)] = 0.7
    values = rng.standard_normal((len(labels), len(names))) + labels[:, None] * strength
    return names, values, labels


def _pipeline(width: int) -> object:
    return make_pipeline(
        StandardScaler(), SelectKBest(f_classif, k=min(KEPT, width)), LogisticRegression(C=0.3)
    )


def _columns(model: str, names: tuple[str, ...]) -> list[int]:
    entry = next(one for one in nine_models() if one.name == model)
    if entry.features:
        return [names.index(name) for name in entry.features]
    families = entry.families or ("clinical", "radiomics", "deep")[: len(entry.members)]
    return [i for i, name in enumerate(names) if family_of(name) in families]


def _scored(columns: list[int], mode: Mode) -> tuple[Floats, Floats, dict[str, int]]:
    """Return out-of-fold and external probabilities, and what was chosen how often."""
    names, values, labels = a_cohort()
    x, y = values[:TRAINING, columns], labels[:TRAINING]
    if mode == "paper":  # the leak: chosen on all training cases
        chosen = SelectKBest(f_classif, k=min(KEPT, len(columns))).fit(x, y).get_support(True)
        columns, x = [columns[i] for i in chosen], x[:, chosen]
    split = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    inside = cross_val_predict(_pipeline(len(columns)), x, y, cv=split, method="predict_proba")
    chosen_in: dict[str, int] = {}
    for train, _ in split.split(x, y):
        fold = SelectKBest(f_classif, k=min(KEPT, len(columns))).fit(x[train], y[train])
        for i in fold.get_support(True):
            chosen_in[names[columns[i]]] = chosen_in.get(names[columns[i]], 0) + 1
    outside = _pipeline(len(columns)).fit(x, y).predict_proba(values[TRAINING:][:, columns])
    return inside[:, 1], outside[:, 1], dict(sorted(chosen_in.items(), key=lambda kv: -kv[1]))


@cache
def _models(mode: Mode, names: tuple[str, ...], external: bool) -> tuple[ModelResult, ...]:
    features, _, labels = a_cohort()
    ids = tuple(f"case-{i:03d}" for i in range(len(labels)))
    found = []
    for entry in nine_models():
        if entry.name not in names:
            continue
        inside, outside, selected = _scored(_columns(entry.name, features), mode)
        threshold = weighted_youden(inside, labels[:TRAINING])
        parts = {
            "training": (ids[:TRAINING], inside, labels[:TRAINING]),
            "external": (ids[TRAINING:], outside, labels[TRAINING:]),
        }
        judged = {
            cohort: performance(who, scores, truth, threshold, who, seed=0)
            for cohort, (who, scores, truth) in parts.items()
        }
        found.append(
            ModelResult(
                entry.name,
                entry.title,
                mode,
                judged["training"],
                judged["external"] if external else None,
                {} if entry.members else selected,
            )
        )
    return tuple(found)


def _readers(labels: Labels) -> tuple[ReaderPoint, ...]:
    rng = np.random.default_rng(11)
    suspicion = labels + rng.normal(0, 0.55, len(labels))
    points = []
    for reader, noise in (("Reader A (20 years)", 0.2), ("Reader B (5 years)", 0.6)):
        for aided in (False, True):
            own = suspicion + rng.normal(0, noise * (0.5 if aided else 1), len(labels))
            call = own > 0.5
            hits, right = int((call & (labels == 1)).sum()), int((~call & (labels == 0)).sum())
            points.append(
                ReaderPoint(
                    reader,
                    aided,
                    wilson(hits, int((labels == 1).sum())),
                    wilson(right, int((labels == 0).sum())),
                )
            )
    return tuple(points)


def _curves(models: tuple[ModelResult, ...], mode: Mode) -> tuple[DecisionCurve, ...]:
    judged: dict[CohortName, dict[str, tuple[Floats, Labels]]] = {"training": {}, "external": {}}
    for model in models:
        found = {"training": model.cross_validated, "external": model.external}
        for cohort, scores in judged.items():
            if (there := found[cohort]) is not None:
                scores[model.name] = (there.scores, there.labels)
    return tuple(
        decision_curve(scores, cohort, mode) for cohort, scores in judged.items() if scores
    )


def _learning(columns: list[int]) -> Floats:
    _, values, labels = a_cohort()
    rows = []
    for size in (60, 120, 180, 240):
        areas = []
        for seed in range(4):
            taken = np.random.default_rng(seed).permutation(TRAINING)[:size]
            x, y = values[taken][:, columns], labels[taken]
            scores = cross_val_predict(_pipeline(len(columns)), x, y, method="predict_proba")
            areas.append(roc_auc_score(y, scores[:, 1]))
        rows.append((size, np.mean(areas), np.std(areas)))
    return np.array(rows)


def _importance(columns: list[int]) -> Mapping[str, float]:
    names, values, labels = a_cohort()
    x, y = values[:TRAINING, columns], labels[:TRAINING]
    fitted = _pipeline(len(columns)).fit(x, y)
    whole = roc_auc_score(y, fitted.predict_proba(x)[:, 1])
    falls = {}
    for place, column in enumerate(columns):
        shuffled = x.copy()
        np.random.default_rng(column).shuffle(shuffled[:, place])
        fall = whole - roc_auc_score(y, fitted.predict_proba(shuffled)[:, 1])
        if fall > 0:
            falls[names[column]] = float(fall)
    return falls


def _flow(external: bool) -> tuple[FlowStep, ...]:
    sites = {"Hospital-1": TRAINING, "Hospital-2": EXTERNAL} if external else {"": TRAINING}
    more = {name: count + 6 for name, count in sites.items()}
    return (
        FlowStep("Lesions in the table", more),
        FlowStep(
            "Met the inclusion criteria",
            {name: count + 2 for name, count in sites.items()},
            {
                "no colour Doppler image": ("x-001", "x-002", "x-003", "x-004"),
                "image with a biopsy needle": ("x-005",),
                "no pathology within a month": ("x-006", "x-007", "x-008"),
            },
        ),
        FlowStep("Measured and studied", sites, {"outline empty": tuple("abcd")}),
    )


def _table1() -> Table:
    names, values, labels = a_cohort()
    rows = []
    for place in range(len(_CLINICAL)):
        column = values[:, place]
        cells = [
            f"{part.mean():.2f} ({part.std():.2f})"
            for part in (
                column[:TRAINING],
                column[TRAINING:],
                column[labels == 0],
                column[labels == 1],
            )
        ]
        rows.append((names[place].removeprefix("clinical_"), *cells))
    return Table(
        "table1",
        "Clinical features",
        ("feature", "training", "external", "benign", "malignant"),
        tuple(rows),
        "Mean (SD).",
    )


ALL = tuple(entry.name for entry in nine_models())


@cache
def a_study(
    *,
    external: bool = True,
    readers: bool = True,
    modes: tuple[Mode, ...] = ("strict", "paper"),
    names: tuple[str, ...] = ALL,
    simulated: bool = True,
    extras: bool = True,
) -> StudyResult:
    """Everything a study can have; each argument takes a part of it away."""
    _, _, labels = a_cohort()
    models = {mode: _models(mode, names, external) for mode in modes}
    shown = models[modes[0]]
    columns = _columns("PreCRDL", a_cohort()[0])
    cohorts: tuple[CohortName, ...] = ("training", "external") if external else ("training",)
    return StudyResult(
        title="Benign or malignant: a study of chance data",
        simulated=simulated,
        flow=_flow(external),
        models=models,
        comparisons=tuple(one for cohort in cohorts for one in compare_all(shown, cohort)),
        curves=_curves(shown, modes[0]),
        tables=(
            (
                _table1(),
                Table("cost", "Cost by stage", ("stage", "seconds"), (("statistics", "1.2"),)),
            )
            if extras
            else ()
        ),
        readers=_readers(labels[TRAINING:]) if readers else (),
        learning=_learning(columns) if extras else np.empty((0, 3)),
        importance=_importance(columns) if extras else {},
        manifest={
            "seed": 0,
            "versions": {"numpy": np.__version__},
            "inputs": {"features.csv": "0" * 64},
            "settings": {"folds": FOLDS, "kept": KEPT},
            "models": {"CM": {"cross_validated": {"auc": 0.5}}},
        },
    )
