"""The tables about patients rather than models: Table 1, regression, subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.fusion.table import family_of
from models.study.describe import describe
from models.study.judged import of_cohort, primary
from models.study.material import Material, Subjects
from models.study.regression import regression_table
from models.study.results import CohortName, ModelResult, Share, Table
from models.study.run_words import worded_table
from models.study.strata import Stratum, performance_by_stratum


def clinical_tables(material: Material, models: Sequence[ModelResult]) -> tuple[Table, ...]:
    """Return Table 1, the logistic regressions and the subgroups; what does not apply is left out.

    Args:
        material: The cohorts.
        models: Of the shown mode.
    """
    cohorts = _cohorts(material)
    found: list[Table | None] = []
    if any(family_of(name) == "clinical" for name in material.training.table.names):
        found.append(
            describe(
                {name: own.table for name, own in cohorts.items()},
                {name: own.intermediate for name, own in cohorts.items()},
            )
        )
        found.append(regression_table(material.training.table))
    found.append(_subgroups(cohorts, primary(models)))
    return tuple(table for table in found if table is not None)


def _cohorts(material: Material) -> Mapping[CohortName, Subjects]:
    found: dict[CohortName, Subjects] = {"training": material.training}
    if material.external is not None:
        found["external"] = material.external
    return found


def _subgroups(cohorts: Mapping[CohortName, Subjects], model: ModelResult) -> Table | None:
    strata: list[Stratum] = []
    for name, own in cohorts.items():
        judged = of_cohort(model, name)
        if judged is None:
            continue
        places = {case: place for place, case in enumerate(own.table.ids)}
        scores = np.full(len(own.table.ids), np.nan)
        scores[[places[case] for case in judged.ids]] = judged.scores
        groups = {group: v for group, v in own.groups.items() if len(set(v) - {""}) > 1}
        called = scores >= judged.threshold
        strata += performance_by_stratum(name, groups, own.table.labels, scores, called)
    rows = [
        (
            one.cohort,
            one.group,
            one.value,
            str(one.cases),
            str(one.malignant),
            _area(one),
            _share(one.sensitivity),
            _share(one.specificity),
        )
        for one in strata
    ]
    return worded_table("subgroups", rows, model=model.name) if rows else None


def _area(stratum: Stratum) -> str:
    if stratum.auc is None or stratum.auc.interval is None:
        return "too few"
    low, high = stratum.auc.interval
    return f"{stratum.auc.value:.3f} ({low:.3f}-{high:.3f})"


def _share(share: Share | None) -> str:
    if share is None:
        return ""
    low, high = (100 * bound for bound in share.interval)
    return f"{100 * share.value:.1f} % ({low:.1f}-{high:.1f})"
