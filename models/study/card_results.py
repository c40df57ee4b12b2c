"""What a model card says of results: performance, subgroups, abstention, novelty, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.bundles.description import BundleDescription, ModelEntry
from models.fusion.table import Family
from models.study.agreement import FamilyAgreement
from models.study.results import Share
from models.study.strata import FEWEST_OF_A_CLASS, Stratum


def models(description: BundleDescription) -> str:
    """Show each model on the training and the external cohort."""
    best = _best(description)
    head = ("model", "needs", "features", "threshold", "AUC", "sensitivity", "specificity")
    inside = [_inside(model) for model in description.models]
    text = (
        f"{_table(head, inside)}\n\nCross-validated on the training cohort, with 95 % confidence "
        "intervals (AUC: DeLong; shares: Wilson); the threshold (weighted Youden, r = "
        f"{description.fusion['youden_weight']:g}) is fixed there. {best.name} answers where all "
        "its inputs are there; otherwise the model with the next best AUC whose inputs are."
    )
    outside = [_outside(model) for model in description.models if model.external]
    if not outside:
        return text + "\n\nThere is no external cohort that could be judged."
    columns = ("model", "cases", "AUC", "sensitivity", "specificity", "Brier")
    table = _table(columns, outside)
    return f"{text}\n\nExternal cohort, scored once at these thresholds:\n\n{table}"


def _best(description: BundleDescription) -> ModelEntry:
    return max(description.models, key=lambda model: model.auc)


def _inside(model: ModelEntry) -> tuple[str, ...]:
    ranges = {f"{name}_ci": interval for name, interval in model.intervals.items()}
    figures = {name: getattr(model, name) for name in ("auc", "sensitivity", "specificity")}
    return (
        model.name,
        ", ".join(model.requires),
        str(model.features),
        f"{model.threshold:.3f}",
        *(_figure(figures | ranges, name) for name in figures),
    )


def _outside(model: ModelEntry) -> tuple[str, ...]:
    found = model.external or {}
    return (
        model.name,
        str(found["cases"]),
        *(_figure(found, name) for name in ("auc", "sensitivity", "specificity")),
        f"{found['brier']:.3f}",
    )


def _figure(found: Mapping[str, Any], name: str) -> str:
    interval = found.get(f"{name}_ci")
    text = f"{found[name]:.3f}"
    return text if interval is None else f"{text} ({interval[0]:.3f}-{interval[1]:.3f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def subgroups(description: BundleDescription, strata: Sequence[Stratum]) -> str:
    """Show the model that answers complete cases in subgroups."""
    if not strata:
        return "No subgroup could be judged."
    head = ("cohort", "group", "cases", "malignant", "AUC", "sensitivity", "specificity")
    rows = [
        (
            one.cohort,
            f"{one.group}: {one.value}",
            str(one.cases),
            str(one.malignant),
            "too few"
            if one.auc is None or one.auc.interval is None
            else f"{one.auc.value:.3f} ({one.auc.interval[0]:.3f}-{one.auc.interval[1]:.3f})",
            _share(one.sensitivity),
            _share(one.specificity),
        )
        for one in strata
    ]
    return (
        f"{_best(description).name}, the model that answers complete cases; training figures are "
        f"cross-validated. Too few: fewer than {FEWEST_OF_A_CLASS} cases of a class.\n\n"
        + _table(head, rows)
    )


def _share(share: Share | None) -> str:
    if share is None:
        return "-"
    low, high = share.interval
    return f"{share.value:.3f} ({low:.3f}-{high:.3f})"


def abstention(description: BundleDescription) -> str:
    """Say how abstaining works and what it covered on the external cohort."""
    text = (
        "Where `[model] abstention` is set, no class is given unless exactly one class is left at "
        "that tolerated error, and it is that of the threshold; the probability stays. Prediction "
        "sets are class-conditional (Mondrian) and rest on out-of-fold scores while the served "
        "model is fitted on all cases: cross-conformal, an approximation without a guarantee. "
        "What it covers is therefore measured on the external cohort."
    )
    rows = [
        (
            model.name,
            f"{row['error']:.2f}",
            f"{row['covered_benign']:.3f}",
            f"{row['covered_malignant']:.3f}",
            f"{row['decided']:.3f}",
            "-" if row["correct"] is None else f"{row['correct']:.3f}",
        )
        for model in description.models
        for row in (model.external or {}).get("abstention", ())
    ]
    if not rows:
        return text + " There is no external cohort to measure it on."
    head = ("model", "error", "covered benign", "covered malignant", "decided", "correct of these")
    return f"{text}\n\n{_table(head, rows)}"


def novelty(description: BundleDescription) -> str:
    """Say when a case is flagged and how many external ones were."""
    quantile = description.fusion["novelty_quantile"]
    text = (
        f"A case is flagged when it lies farther from the training cases than {quantile:.0%} of "
        "held-out training cases do (Mahalanobis distance over the answering model's features, "
        "shrunk covariance). It is scored all the same, and the report says so."
    )
    rows = [
        (model.name, str(model.external["cases"]), f"{model.external['novel']:.3f}")
        for model in description.models
        if model.external and "novel" in model.external
    ]
    if not rows:
        return text
    return f"{text}\n\n{_table(('model', 'external cases', 'share flagged'), rows)}"


def influence(description: BundleDescription) -> str:
    """Show what moves the scores of the model that answers complete cases."""
    best = _best(description)
    rows = [(name, f"{share:.3f}") for name, share in best.influence]
    return (
        "A case's log-odds, less those of the average training case, are shared out over the "
        "features by integrated gradients; the shares sum to the difference. Mean magnitude over "
        f"the training cases, {best.name}:\n\n" + _table(("feature", "log-odds"), rows)
    )


def agreement(agreement: Mapping[Family, FamilyAgreement], cases: int) -> str:
    """Show the agreement between two readers' contours by feature family."""
    rows = "\n".join(
        f"| {family} | {found.features} | {found.median:.3f} | {100 * found.stable:.0f} % |"
        for family, found in agreement.items()
    )
    return (
        f"ICC(A,1) between two readers' contours of {cases} training cases.\n\n"
        "| family | features | median ICC | above 0.80 |\n|---|---|---|---|\n" + rows
    )
