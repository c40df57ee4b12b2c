"""An evaluation as files: evaluation.json, and scores.csv with a row a case."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from models.study.evaluate import Evaluation, ScoredCase
from models.study.results import Share
from models.study.strata import Stratum

SCORES = "scores.csv"
EVALUATION = "evaluation.json"
_COLUMNS = (
    "id",
    "patient",
    "label",
    "model",
    "probability",
    "threshold",
    "class",
    "novelty",
    "out_of_distribution",
    "fallback_reason",
    "not_scored",
)


def as_json(found: Evaluation) -> dict[str, Any]:
    """Return everything but the single scores as plain JSON values."""
    return {
        "bundle": {"name": found.name, "version": found.version, "sha256": found.sha256},
        "warnings": list(found.warnings),
        "cases": len(found.cases),
        "answered_by": found.answered_by,
        "as_served": [_stratum(one) for one in found.strata],
        "models": {model.name: model.to_json() for model in found.models},
        "training_overlap": list(found.overlap),
        "not_measured": dict(found.excluded),
    }


def as_rows(found: Evaluation) -> list[dict[str, str]]:
    """Return a line a model for the terminal, the bundle as served first."""
    whole = found.strata[0]
    rows = (
        [
            {
                "model": whole.group,
                "cases": str(whole.cases),
                "auc": "too few"
                if whole.auc is None
                else _text(whole.auc.value, whole.auc.interval),
                "sensitivity": _share(whole.sensitivity),
                "specificity": _share(whole.specificity),
                "flagged as novel": _share(None),
            }
        ]
        if found.strata
        else []
    )
    for model in found.models:
        own = model.performance
        rows.append(
            {
                "model": model.name,
                "cases": str(model.cases),
                "auc": model.note if own is None else _text(own.auc.value, own.auc.interval),
                "sensitivity": _share(None if own is None else own.shares["sensitivity"]),
                "specificity": _share(None if own is None else own.shares["specificity"]),
                "flagged as novel": _share(model.novel),
            }
        )
    return rows


def write_evaluation(found: Evaluation, out: Path) -> tuple[Path, Path]:
    """Write both files, the scores first; equal evaluations give equal bytes."""
    out.mkdir(parents=True, exist_ok=True)
    scores, summary = out / SCORES, out / EVALUATION
    with scores.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(_COLUMNS)
        writer.writerows(_row(case) for case in found.cases)
    summary.write_text(json.dumps(as_json(found), indent=1) + "\n", encoding="utf-8")
    return scores, summary


def _row(case: ScoredCase) -> tuple[object, ...]:
    score = case.score
    if score is None:
        return (case.id, case.patient, case.label, *[""] * 7, case.refusal)
    return (
        case.id,
        case.patient,
        case.label,
        score.model,
        repr(score.probability),
        repr(score.threshold),
        score.malignancy,
        f"{score.novelty:.4f}",
        int(score.out_of_distribution),
        score.fallback_reason,
        "",
    )


def _stratum(one: Stratum) -> dict[str, Any]:
    return {
        "group": one.group,
        "value": one.value,
        "cases": one.cases,
        "malignant": one.malignant,
        "auc": None if one.auc is None else one.auc.value,
        "auc_ci": None if one.auc is None else one.auc.interval,
        "sensitivity": None if one.sensitivity is None else one.sensitivity.value,
        "sensitivity_ci": None if one.sensitivity is None else one.sensitivity.interval,
        "specificity": None if one.specificity is None else one.specificity.value,
        "specificity_ci": None if one.specificity is None else one.specificity.interval,
    }


def _share(share: Share | None) -> str:
    return "" if share is None else _text(share.value, share.interval)


def _text(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.3f}" + ("" if interval is None else f" ({interval[0]:.3f}-{interval[1]:.3f})")
