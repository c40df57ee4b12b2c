"""How the headline model did in subgroups of both cohorts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.fusion.table import FeatureTable
from models.study.results import CohortName, Performance, Table
from models.study.strata import (
    FEWEST_OF_A_CLASS,
    LARGER_MM,
    OLDER_YEARS,
    Stratum,
    age_group,
    performance_by_stratum,
    size_group,
)
from models.study.tables_words import NONE, estimate, share, table, word

Groups = Mapping[str, Mapping[str, str]]
"""Group -> case -> its value, "" where not known."""


def clinical_groups(features: FeatureTable) -> dict[str, dict[str, str]]:
    """Return sex, age and size groups from the clinical columns, for those that are there."""
    coded: Mapping[str, tuple[str, Callable[[float], str]]] = {
        "sex": ("clinical_sex_male", _sex),
        "age": ("clinical_age", age_group),
        "size": ("clinical_size", size_group),
    }
    found = {}
    for group, (name, value_of) in coded.items():
        if name in features.names:
            column = features.columns((name,))[:, 0].tolist()
            found[group] = {
                case: value_of(value) if np.isfinite(value) else ""
                for case, value in zip(features.ids, column, strict=True)
            }
    return found


def subgroup_table(
    judged: Mapping[CohortName, Performance], groups: Mapping[CohortName, Groups], model: str
) -> Table:
    """Return the performance of one model in every subgroup with a case.

    Args:
        judged: The model on each cohort.
        groups: By cohort, each case's value in each group (site, vendor, sex, age, size, ...).
        model: What the title calls it.
    """
    rows: list[tuple[str, ...]] = []
    for cohort, found in judged.items():
        rows += [_row(one) for one in _strata(cohort, found, groups.get(cohort, {}))]
    return table(
        "subgroups", rows, model=model, least=FEWEST_OF_A_CLASS, years=OLDER_YEARS, mm=LARGER_MM
    )


def _sex(male: float) -> str:
    return "M" if male else "F"


def _strata(cohort: CohortName, found: Performance, groups: Groups) -> Sequence[Stratum]:
    return performance_by_stratum(
        cohort,
        {name: [values.get(case, "") for case in found.ids] for name, values in groups.items()},
        found.labels,
        found.scores,
        found.scores >= found.threshold,
    )


def _row(one: Stratum) -> tuple[str, ...]:
    return (
        word(one.cohort),
        word(one.group, "groups"),
        one.value or NONE,
        str(one.cases),
        str(one.malignant),
        word("too_few") if one.auc is None else estimate(one.auc),
        share(one.sensitivity),
        share(one.specificity),
    )
