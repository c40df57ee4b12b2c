"""Which of the nine models a table can carry, and why the others cannot be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.fusion.settings import FusionSettings
from models.fusion.specification import ModelSpecification, nine_models
from models.fusion.strict import usable_rows
from models.fusion.table import FeatureTable, family_of
from models.study.material import StudyInputError
from models.study.run_words import say


@dataclass(frozen=True, slots=True)
class Roster:
    """What will be built.

    Attributes:
        models: In the paper's order.
        absent: Name -> why it is not built.
        notes: Name -> what a reader must know of it.
    """

    models: tuple[ModelSpecification, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def roster(table: FeatureTable, settings: FusionSettings) -> Roster:
    """Decide which models the training table carries.

    The clinical model takes the paper's five features; where the table lacks one of them it takes
    every clinical column that is there.

    Args:
        table: The training cohort.
        settings: For the number of folds.

    Raises:
        StudyInputError: A class has fewer patients than folds, or no model can be built.
    """
    for label, word in ((1, "malignant"), (0, "benign")):
        patients = _patients(table, table.labels == label)
        if patients < settings.folds:
            raise StudyInputError(
                f"the training cohort has {patients} {word} patients; "
                f"{settings.folds} folds need at least {settings.folds}"
            )
    clinical = tuple(name for name in table.names if family_of(name) == "clinical")
    notes: dict[str, str] = {}
    absent: dict[str, str] = {}
    built: dict[str, ModelSpecification] = {}
    for given in nine_models():
        specification = given
        if given.features and clinical and not given.candidates(table):
            specification = replace(given, features=clinical)
            notes[given.name] = say("note.clinical", names=", ".join(clinical))
        reason = _reason(specification, table, built, settings)
        if reason:
            absent[given.name] = reason
        else:
            built[given.name] = specification
    if not built:
        raise StudyInputError("no model can be built: " + next(iter(absent.values())))
    return Roster(
        tuple(built.values()), absent, {name: n for name, n in notes.items() if name in built}
    )


def _reason(
    specification: ModelSpecification,
    table: FeatureTable,
    built: Mapping[str, ModelSpecification],
    settings: FusionSettings,
) -> str:
    """Say why a model cannot be built; "" if it can."""
    if specification.members:
        lost = [name for name in specification.members if name not in built]
        if lost:
            return say("absent.members", members=", ".join(lost))
    elif not specification.candidates(table):
        families = specification.families or ("clinical",)
        there = {family_of(name) for name in table.names}
        lacking = [family for family in families if family not in there]
        return say("absent.features", families=", ".join(lacking))
    singles = {**built, specification.name: specification}
    usable = usable_rows(table, specification, singles)
    fewest = min(_patients(table, usable & (table.labels == label)) for label in (0, 1))
    if fewest < settings.folds:
        return say("absent.patients", patients=fewest, folds=settings.folds)
    return ""


def _patients(table: FeatureTable, chosen: NDArray[np.bool_]) -> int:
    return len({p for p, own in zip(table.patients, chosen, strict=True) if own})
