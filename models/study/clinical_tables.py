"""The tables about patients rather than models: Table 1, regression, subgroups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.fusion.table import family_of
from models.study.describe import describe
from models.study.judged import of_cohort, primary
from models.study.material import Material, Subjects
from models.study.regression import regression_table
from models.study.results import CohortName, ModelResult, Table
from models.study.stability import Looks, stability_features, stability_table
from models.study.subgroups import clinical_groups, subgroup_table
from models.study.tables_words import word

FEWEST_TWICE = 2


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
    if looks := _looks(material):
        found += [stability_table(looks, material.reads), stability_features(looks)]
    found.append(_subgroups(cohorts, primary(models)))
    return tuple(table for table in found if table is not None)


def _looks(material: Material) -> dict[str, Looks]:
    """Return who outlined twice, in words, where enough lesions were for an agreement."""
    first = material.training.table
    others = {"readers_between": material.second, "reader_again": material.again}
    return {
        word(who): (first, other)
        for who, other in others.items()
        if other is not None and len(set(first.ids) & set(other.ids)) >= FEWEST_TWICE
    }


def _cohorts(material: Material) -> Mapping[CohortName, Subjects]:
    found: dict[CohortName, Subjects] = {"training": material.training}
    if material.external is not None:
        found["external"] = material.external
    return found


def _subgroups(cohorts: Mapping[CohortName, Subjects], model: ModelResult) -> Table:
    judged = {name: one for name in cohorts if (one := of_cohort(model, name)) is not None}
    groups = {name: _groups(own) for name, own in cohorts.items()}
    return subgroup_table(judged, groups, model.name)


def _groups(own: Subjects) -> dict[str, dict[str, str]]:
    """Return what the cohort says of each case, and what its clinical columns say else."""
    told = {
        group: dict(zip(own.table.ids, values, strict=True))
        for group, values in own.groups.items()
        if any(values)
    }
    return {**clinical_groups(own.table), **told}
