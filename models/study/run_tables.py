"""The tables that the runner itself makes; those of the statistics come from their rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.fusion.conformal import ConformalReference
from models.fusion.errors import FusionError
from models.study.judged import of_cohort
from models.study.judgement import abstention
from models.study.material import Material, Subjects
from models.study.results import CohortName, Mode, ModelResult, Performance, Table
from models.study.roster import Roster
from models.study.run_words import worded_table
from models.study.statistics.performance import performance

_COHORTS: tuple[CohortName, ...] = ("training", "external")


def run_tables(
    material: Material,
    plan: Roster,
    results: Mapping[Mode, Sequence[ModelResult]],
    seed: int,
) -> tuple[Table, ...]:
    """Return what follows from the models and the material: gap, selected, dropped, absent.

    Tables that have nothing to say are left out.
    """
    shown = next(iter(results.values()))
    found = [
        compared("gap", results["strict"], results["paper"]) if len(results) > 1 else None,
        _selected(shown),
        worded_table("absent", plan.absent.items()) if plan.absent else None,
        _dropped(material) if material.dropped else None,
        _intermediates(material, shown, seed),
        _conformal(shown),
    ]
    return tuple(table for table in found if table is not None)


def compared(name: str, first: Sequence[ModelResult], second: Sequence[ModelResult]) -> Table:
    """Return the AUC of two runs of the same models, and second less first.

    Args:
        name: Of the table in the words: gap, harmonisation, standardisation.
        first: One run.
        second: The other; models that are only in one are left out.
    """
    others = {model.name: model for model in second}
    rows = []
    for model in first:
        if model.name not in others:
            continue
        for cohort in _COHORTS:
            pair = [of_cohort(one, cohort) for one in (model, others[model.name])]
            if pair[0] is None or pair[1] is None:
                continue
            areas = [one.auc.value for one in pair if one is not None]
            cells = (f"{areas[0]:.3f}", f"{areas[1]:.3f}", f"{areas[1] - areas[0]:+.3f}")
            rows.append((model.name, cohort, *cells))
    return worded_table(name, rows)


def _selected(models: Sequence[ModelResult]) -> Table | None:
    rows = [
        (model.name, name, str(count))
        for model in models
        for name, count in sorted(model.selected.items(), key=lambda one: (-one[1], one[0]))
    ]
    return worded_table("selected", rows) if rows else None


def _dropped(material: Material) -> Table:
    rows = [
        (reason, str(len(names)), ", ".join(names)) for reason, names in material.dropped.items()
    ]
    return worded_table("dropped", rows)


def _intermediates(material: Material, models: Sequence[ModelResult], seed: int) -> Table | None:
    """Judge the same scores at the same thresholds without the intermediate lesions."""
    cohorts: dict[CohortName, Subjects] = {"training": material.training}
    if material.external is not None:
        cohorts["external"] = material.external
    rows = []
    for model in models:
        for name, subjects in cohorts.items():
            found = of_cohort(model, name)
            if found is None or not subjects.intermediate.any():
                continue
            without = _without(found, subjects, seed)
            if without is None:
                continue
            low, high = without.auc.interval or (np.nan, np.nan)
            rows.append(
                (
                    model.name,
                    name,
                    str(len(found.ids) - len(without.ids)),
                    f"{found.auc.value:.3f}",
                    f"{without.auc.value:.3f}",
                    f"{low:.3f}-{high:.3f}",
                    f"{100 * without.sensitivity.value:.1f} %",
                )
            )
    return worded_table("intermediates", rows) if rows else None


def _conformal(models: Sequence[ModelResult]) -> Table | None:
    """Return how abstention at tolerated errors does on the external cohort.

    The reference is the out-of-fold scores of the strict mode; scores of the paper mode have seen
    their own cases and promise nothing.
    """
    rows = []
    for model in models:
        if model.mode != "strict" or model.external is None:
            continue
        inside, outside = model.cross_validated, model.external
        reference = ConformalReference.of(inside.scores, inside.labels)
        for row in abstention(reference, outside.scores, outside.labels, inside.threshold):
            shares = (row.covered_benign, row.covered_malignant, row.decided, row.correct)
            cells = ("" if share is None else f"{100 * share.value:.1f} %" for share in shares)
            rows.append((model.name, f"{100 * row.error:g} %", *cells))
    return worded_table("conformal", rows) if rows else None


def _without(found: Performance, subjects: Subjects, seed: int) -> Performance | None:
    table = subjects.table
    between = {name for name, yes in zip(table.ids, subjects.intermediate, strict=True) if yes}
    whose = dict(zip(table.ids, table.patients, strict=True))
    keep = np.array([name not in between for name in found.ids])
    ids = tuple(name for name in found.ids if name not in between)
    patients = tuple(whose[name] for name in ids)
    try:
        return performance(
            ids, found.scores[keep], found.labels[keep], found.threshold, patients, seed
        )
    except FusionError:  # no malignant lesion is left
        return None
