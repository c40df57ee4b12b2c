"""Labels drawn by lot: what each mode finds where there is nothing to find.

`python -m models.study.permuted --seeds 10 [--table CSV | --cohort DIR]` shuffles the labels of a
table (without one: of 516 cases with 1,000 columns of chance) and trains radiomics in both modes.
Nested selection must give an AUC of one half; selection before cross-validation does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.errors import ModelsError
from models.fusion.paper import train_paper
from models.fusion.settings import FusionSettings
from models.fusion.strict import train_strict
from models.fusion.table import FeatureTable
from models.study.cohort_input import read_cohort_material
from models.study.roster import roster
from models.study.table_input import read_tables

CASES, COLUMNS, MALIGNANT = 516, 1000, 200


@dataclass(frozen=True, slots=True)
class Permuted:
    """AUCs on shuffled labels, one a seed.

    Attributes:
        strict: Nested.
        paper: Selected before the cross-validation.
    """

    strict: tuple[float, ...]
    paper: tuple[float, ...]

    @property
    def margin(self) -> float:
        """Mean of the leaking mode less mean of the nested one."""
        return float(np.mean(self.paper) - np.mean(self.strict))


def chance_table(cases: int = CASES, columns: int = COLUMNS, seed: int = 0) -> FeatureTable:
    """Return cases whose features are normal, alike in groups of ten, and know nothing."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(cases, -(-columns // 10)))
    values = np.repeat(shared, 10, axis=1)[:, :columns] + rng.normal(size=(cases, columns))
    ids = tuple(f"C{number:05d}" for number in range(cases))
    labels = (np.arange(cases) < round(cases * MALIGNANT / CASES)).astype(np.int64)
    names = tuple(f"original_chance_{number:04d}" for number in range(columns))
    return FeatureTable(ids, ids, labels, names, values)


def shuffled(table: FeatureTable, seed: int) -> FeatureTable:
    """Return the table with its labels dealt to other patients; a patient's cases share one."""
    rng = np.random.default_rng((seed, 20240431))
    patients = sorted(set(table.patients))
    first = dict(zip(reversed(table.patients), reversed(table.labels.tolist()), strict=True))
    dealt = dict(zip(patients, rng.permutation([first[p] for p in patients]), strict=True))
    return replace(table, labels=np.array([dealt[p] for p in table.patients], dtype=np.int64))


def permuted(
    table: FeatureTable,
    seeds: Sequence[int],
    settings: FusionSettings,
    model: str = "Rad",
    jobs: int = 1,
) -> Permuted:
    """Train one model on shuffled labels in both modes.

    Args:
        table: Any cohort.
        seeds: A shuffle each; folds and searches start from the same seed.
        settings: The fixed choices.
        model: One of those that the table carries.
        jobs: Processes; the result does not depend on it.
    """
    areas: dict[str, list[float]] = {"strict": [], "paper": []}
    for seed in seeds:
        dealt, recipe = shuffled(table, seed), replace(settings, seed=seed)
        models = [m for m in roster(dealt, recipe).models if m.name == model]
        for mode, train in (("strict", train_strict), ("paper", train_paper)):
            (found,) = train(dealt, recipe, jobs, models=models)
            areas[mode].append(found.auc)
    return Permuted(tuple(areas["strict"]), tuple(areas["paper"]))


def main() -> None:
    """Read the arguments, shuffle and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="shuffles")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--table", type=Path, help="CSV as `crdl models study` reads it")
    source.add_argument("--cohort", type=Path, help="folder of a cohort")
    parser.add_argument("--model", default="Rad", help="one of the nine, no late fusion")
    parser.add_argument("--jobs", type=int, default=0, help="processes, 0 for one a core")
    asked = parser.parse_args()
    try:
        table = chance_table()
        if asked.table is not None:
            table = read_tables(asked.table).training.table
        elif asked.cohort is not None:
            table = read_cohort_material(asked.cohort, None, jobs=asked.jobs).training.table
        found = permuted(table, range(asked.seeds), FusionSettings(), asked.model, asked.jobs or -1)
    except ModelsError as error:
        sys.exit(str(error))
    for name, areas in (("strict", found.strict), ("paper", found.paper)):
        each = " ".join(f"{area:.3f}" for area in areas)
        sys.stdout.write(f"{name}: mean {np.mean(areas):.4f} ({each})\n")
    sys.stdout.write(f"margin: {found.margin:+.4f}\n")


if __name__ == "__main__":
    main()
