"""Train a bundle on a cohort: features, thresholds, nine models, external evaluation, card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.backbone.weights import read_pinned
from models.bundle import BundledModel
from models.bundles.description import BundleDescription, ModelEntry
from models.bundles.write import entry_of, write_bundle
from models.features.extract import FeatureSettings
from models.features.semantic import SemanticThresholds, learn_thresholds
from models.fusion.calibration import sigmoid
from models.fusion.conformal import ConformalReference
from models.fusion.settings import FusionSettings
from models.fusion.strict import TrainedModel, train_strict
from models.fusion.table import Family, FeatureTable
from models.study.agreement import FamilyAgreement, agreement_by_family
from models.study.card import Evidence, Origin, render_card
from models.study.cohort import CohortCase, CohortError, read_cohort
from models.study.features import Exclusion, MeasuredCase, feature_table, measure_cohort
from models.study.judgement import Figures, judge, mean_influence
from models.study.provenance import input_hashes, training_images
from models.study.strata import Stratum, performance_by_stratum, strata_of

Progress = Callable[[int, int], None]
AGREEMENT_CASES = 50
_INTERVALS = ("auc", "sensitivity", "specificity")


def train_bundle(
    cohort: Path,
    out: Path,
    *,
    name: str,
    version: str = "1",
    backbone: Path | None = None,
    seed: int = 1,
    jobs: int = 0,
    backend: str | None = None,
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
        backend: Where cases are measured, as `models.parallel` takes it.
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
            rows,
            wanted,
            backbone,
            cache_folder=kept,
            jobs=jobs,
            backend=backend,
            progress=progress,
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
    judged = [_judged(model, table, outside) for model in models]
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
        models=tuple(model.entry for model in judged),
        inputs=input_hashes(cohort, cases, backbone, wanted.sha256),
    )
    twice = [row for row in training if row.case.second_seg is not None][:AGREEMENT_CASES]
    agreement = _agreement(twice, wanted, thresholds, measure)
    evidence = Evidence(agreement, len(twice), _strata(training, external, table, outside, models))
    card = render_card(description, origin or Origin(), evidence)
    images = training_images([row.case for row in training])
    write_bundle(out, description, models, table.labels, backbone, card, images)
    return out


def _judged(model: TrainedModel, table: FeatureTable, outside: FeatureTable | None) -> BundledModel:
    """Describe a model with its intervals, its influential features and the external cohort."""
    there = np.isfinite(model.out_of_fold)
    own = table.rows(there)
    scores = model.out_of_fold[there]
    found = Figures.of(scores, own.labels, model.threshold).to_json()
    entry = replace(
        entry_of(model),
        intervals={name: found[f"{name}_ci"] for name in _INTERVALS},
        influence=mean_influence(model.frozen, own.columns(model.frozen.names)),
    )
    reference = ConformalReference.of(model.out_of_fold, table.labels)
    bundled = BundledModel(entry, model.frozen, model.novelty, reference)
    if outside is None:
        return bundled
    judgement = judge(bundled, outside)
    if judgement.performance is None:
        return bundled
    return replace(bundled, entry=_with_external(entry, judgement.to_json()))


def _with_external(entry: ModelEntry, external: Mapping[str, object]) -> ModelEntry:
    return replace(entry, external={k: v for k, v in external.items() if k != "note"})


def _strata(
    training: Sequence[MeasuredCase],
    external: Sequence[MeasuredCase],
    table: FeatureTable,
    outside: FeatureTable | None,
    models: Sequence[TrainedModel],
) -> tuple[Stratum, ...]:
    """Judge the model that answers complete cases in the subgroups of both cohorts."""
    best = max(models, key=lambda model: model.auc)
    found = performance_by_stratum(
        "training",
        strata_of(training),
        table.labels,
        best.out_of_fold,
        best.out_of_fold >= best.threshold,
    )
    if outside is None:
        return found
    scores = np.full(len(outside.ids), np.nan)
    values = outside.columns(best.frozen.names)
    there = np.isfinite(values).all(axis=1)
    scores[there] = sigmoid(best.frozen.logit(values[there]))
    return found + performance_by_stratum(
        "external", strata_of(external), outside.labels, scores, scores >= best.threshold
    )


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
