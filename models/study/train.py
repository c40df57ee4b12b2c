"""Train a bundle on a cohort: features, thresholds, nine models, external evaluation, card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.backbone.weights import read_pinned
from models.bundles.description import BundleDescription, ModelEntry
from models.bundles.write import entry_of, write_bundle
from models.features.extract import FeatureSettings
from models.features.semantic import SemanticThresholds, learn_thresholds
from models.fusion.calibration import sigmoid
from models.fusion.settings import FusionSettings
from models.fusion.strict import TrainedModel, train_strict
from models.fusion.table import Family, FeatureTable
from models.fusion.threshold import area_under_curve, sensitivity_specificity
from models.study.agreement import FamilyAgreement, agreement_by_family
from models.study.card import Origin, render_card
from models.study.cohort import CohortCase, CohortError, read_cohort
from models.study.features import Exclusion, MeasuredCase, feature_table, measure_cohort

Progress = Callable[[int, int], None]
AGREEMENT_CASES = 50
_FEWEST_EXTERNAL = 10


def train_bundle(
    cohort: Path,
    out: Path,
    *,
    name: str,
    version: str = "1",
    backbone: Path | None = None,
    seed: int = 1,
    jobs: int = 0,
    settings: FeatureSettings | None = None,
    fusion: FusionSettings | None = None,
    origin: Origin | None = None,
    cache_folder: Path | None = None,
    created: datetime | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train, judge and write a bundle.

    The external cohort, where the table marks one, is scored once, with everything fixed on the
    training cohort.

    Args:
        cohort: Folder of `models.study.cohort`.
        out: Folder of the new bundle.
        name: Its name.
        version: Its version.
        backbone: Weights of the deep model; None trains without deep features.
        seed: Of folds and searches.
        jobs: Processes, 0 for one a core; the bundle does not depend on it.
        settings: How features are measured; thresholds are learned and the backbone is pinned.
        fusion: How models are fitted; its seed is replaced by `seed`.
        origin: What the card says about the data.
        cache_folder: Where measured cases are kept, so that a broken run resumes; None:
            `<cohort>/.features`.
        created: When; None is now.
        progress: Called with steps done and steps of the current stage.

    Returns:
        The folder of the bundle.

    Raises:
        ModelsError: The cohort, the weights or the output folder cannot be used.
    """
    pinned = "" if backbone is None else read_pinned(backbone, None)[1]
    wanted = replace(settings or FeatureSettings(), backbone_sha256=pinned)
    recipe = replace(fusion or FusionSettings(), seed=seed)
    cases = read_cohort(cohort)
    kept = cache_folder or cohort / ".features"

    def measure(rows: Sequence[CohortCase]) -> tuple[tuple[MeasuredCase, ...], list[Exclusion]]:
        found, left_out = measure_cohort(
            rows, wanted, backbone, cache_folder=kept, jobs=jobs, progress=progress
        )
        return found, list(left_out)

    measured, excluded = measure(cases)
    training = [row for row in measured if row.case.cohort == "training"]
    external = [row for row in measured if row.case.cohort == "external"]
    if not training:
        why = f": {excluded[0].id}: {excluded[0].reason}" if excluded else ""
        raise CohortError(f"no training case could be measured{why}")
    thresholds = learn_thresholds(
        [row.measurements for row in training], [row.case.reads for row in training]
    )
    wanted = replace(wanted, semantic=thresholds)
    table, dropped = feature_table(training, wanted, thresholds).without_unusable_columns()
    models = train_strict(table, recipe, jobs or -1, progress)
    outside = feature_table(external, wanted, thresholds) if external else None
    description = BundleDescription(
        name=name,
        version=version,
        created=(created or datetime.now(UTC)).isoformat(timespec="seconds"),
        simulated=any(row.simulated for row in training),
        intended_use=_intended_use(simulated=any(row.simulated for row in training)),
        population=_population(training, external, excluded),
        prevalence=float(table.labels.mean()),
        settings=wanted.to_dict(),
        features=table.names,
        dropped=dropped,
        fusion=recipe.to_dict(),
        models=tuple(_entry(model, outside) for model in models),
    )
    twice = [row for row in training if row.case.second_seg is not None][:AGREEMENT_CASES]
    agreement = _agreement(twice, wanted, thresholds, measure)
    card = render_card(description, origin or Origin(), agreement, len(twice))
    write_bundle(out, description, models, backbone, card)
    return out


def _entry(model: TrainedModel, outside: FeatureTable | None) -> ModelEntry:
    cases = int(np.isfinite(model.out_of_fold).sum())
    return entry_of(model, cases, None if outside is None else _external(model, outside))


def _external(model: TrainedModel, table: FeatureTable) -> dict[str, float] | None:
    """Score the external cohort at the training threshold; None where too few can be judged."""
    values = table.columns(model.frozen.names)
    there = np.isfinite(values).all(axis=1)
    labels = table.labels[there]
    if len(labels) < _FEWEST_EXTERNAL or labels.min() == labels.max():
        return None
    scores = sigmoid(model.frozen.logit(values[there]))
    sensitivity, specificity = sensitivity_specificity(scores, labels, model.threshold)
    return {
        "cases": len(labels),
        "auc": area_under_curve(scores, labels),
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


def _agreement(
    rows: Sequence[MeasuredCase],
    settings: FeatureSettings,
    thresholds: SemanticThresholds,
    measure: Callable[[Sequence[CohortCase]], tuple[tuple[MeasuredCase, ...], list[Exclusion]]],
) -> Mapping[Family, FamilyAgreement]:
    """Measure the second reader's contours of the same cases and compare."""
    second, _ = measure(
        [replace(row.case, seg=row.case.second_seg) for row in rows if row.case.second_seg]
    )
    both = {row.case.id for row in second}
    first = [row for row in rows if row.case.id in both]
    if len(first) < 2:
        return {}
    tables = [feature_table(reader, settings, thresholds) for reader in (first, second)]
    return agreement_by_family(tables)


def _population(
    training: Sequence[MeasuredCase],
    external: Sequence[MeasuredCase],
    excluded: Sequence[Exclusion],
) -> dict[str, object]:
    def counts(values: Sequence[str]) -> dict[str, int]:
        return dict(sorted(Counter(value for value in values if value).items()))

    ages = [row.clinical.age_years for row in training if row.clinical.age_years is not None]
    return {
        "cases": len(training),
        "malignant": sum(row.case.label for row in training),
        "patients": len({row.case.patient for row in training}),
        "external_cases": len(external),
        "external_malignant": sum(row.case.label for row in external),
        "sites": counts([row.case.site for row in training]),
        "vendors": counts([row.case.vendor for row in training]),
        "sexes": counts([row.clinical.sex for row in training]),
        "median_age_years": float(np.median(ages)) if ages else None,
        "excluded": {row.id: row.reason for row in excluded},
    }


def _intended_use(*, simulated: bool) -> str:
    if simulated:
        return (
            "Demonstration and testing of the software. Trained on simulated patients: "
            "not for clinical use."
        )
    return (
        "Research on ultrasound of soft-tissue tumours in the population it was trained on. "
        "Not a medical device: not for clinical use."
    )
