"""The study: from its material to everything its report shows.

`crdl models study` reads a table or a cohort into a `Material`, calls `run_study`, and writes the
manifest, the cost and the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from models.fusion.paper import train_paper
from models.fusion.settings import FusionSettings
from models.fusion.strict import train_strict
from models.fusion.table import FeatureTable
from models.study.cost import Cost
from models.study.extras import DRAWS, SHUFFLES, learning_curve, permutation_importance
from models.study.judged import curves, judge_all, primary
from models.study.manifest import manifest, manifest_json
from models.study.material import Material, StudyInputError
from models.study.prepare import Prepare
from models.study.results import Mode, ModelResult, ReaderPoint, StudyResult, Table
from models.study.roster import Roster, roster
from models.study.run_tables import compared, run_tables
from models.study.run_words import worded_table
from models.study.statistics.performance import compare_all

Asked = Literal["strict", "paper", "both"]
Stage = Callable[[str], Callable[[int, int], None]]
"""Gives the progress callback of a stage by the stage's name."""

_TRAIN = {"strict": train_strict, "paper": train_paper}
_STANDARDISED = ("Rad", "PreCRDL")
"""The models repeated on standardised intensities: radiomics alone, and the paper's proposal."""


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """What is asked of a study.

    Attributes:
        title: Of the report.
        mode: `both` shows strict and compares it with paper.
        seed: Of folds, searches, shuffles and the bootstrap.
        jobs: Processes, 0 for one a core; no result depends on it.
        drop_unstable: Leave out features that do not survive another outline.
        harmonise: Harmonise image features between sites, inside the folds.
        learning_curve: Whether it is drawn.
        importance: Whether permutation importance is measured.
        fusion: The fixed choices; its seed is replaced by `seed`.
    """

    title: str = "CRDL study"
    mode: Asked = "both"
    seed: int = 1
    jobs: int = 0
    drop_unstable: bool = False
    harmonise: bool = False
    learning_curve: bool = False
    importance: bool = False
    fusion: FusionSettings = field(default_factory=FusionSettings)

    def __post_init__(self) -> None:
        if self.mode not in get_args(Asked):
            raise StudyInputError(f"mode is {self.mode!r}: strict, paper or both")
        if self.seed < 0 or self.jobs < 0:
            raise StudyInputError("seed and jobs must not be negative")

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes to run; the first is the one that `models` in the manifest is."""
        both: tuple[Mode, ...] = ("strict", "paper")
        return both if self.mode == "both" else (self.mode,)

    @property
    def recipe(self) -> FusionSettings:
        """The fixed choices with the seed asked for."""
        return replace(self.fusion, seed=self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return what was asked for, without what no result depends on."""
        return {
            "title": self.title,
            "mode": self.mode,
            "seed": self.seed,
            "options": {
                "drop_unstable": self.drop_unstable,
                "harmonise": self.harmonise,
                "learning_curve": self.learning_curve,
                "importance": self.importance,
            },
        }


def _silent(_: str) -> Callable[[int, int], None]:
    def told(_done: int, _of: int) -> None:
        """Keep it."""

    return told


def run_study(
    material: Material,
    options: StudyOptions,
    cost: Cost | None = None,
    stage: Stage = _silent,
    tables: Callable[[Material, Sequence[ModelResult]], Sequence[Table]] | None = None,
    readers: Sequence[ReaderPoint] = (),
) -> StudyResult:
    """Train, judge and compare the models.

    Args:
        material: The cohorts.
        options: What is asked for.
        cost: Counts the time of each stage.
        stage: Where progress is told.
        tables: Makes further tables (clinical ones, readers) from material and models.
        readers: Points of the reader study, for the ROC figure.

    Returns:
        Everything the report shows; its tables end with `cost`.

    Raises:
        StudyInputError: The material cannot carry the study; the message says why.
    """
    cost = cost or Cost()
    plan = roster(material.training.table, options.recipe)
    prepare = _preparation(material, options)
    work = _Work(material, options, plan, prepare, stage)
    results: dict[Mode, tuple[ModelResult, ...]] = {}
    for mode in options.modes:
        with cost.stage(f"training, {mode}"):
            results[mode] = work.trained(mode, prepare)
    shown = results[options.modes[0]]
    with cost.stage("extra analyses"):
        extra, importance, learning = work.extras(shown)
    with cost.stage("statistics"):
        judged_outside = tuple(model for model in shown if model.external is not None)
        comparisons = compare_all(shown, "training") + compare_all(judged_outside, "external")
        made = [
            *(tables(material, shown) if tables is not None else ()),
            *run_tables(material, plan, results, options.seed),
            *extra,
        ]
        decision = tuple(c for mode, models in results.items() for c in curves(models, mode))
    return StudyResult(
        title=options.title,
        simulated=material.simulated,
        flow=material.flow,
        models=results,
        comparisons=comparisons,
        curves=decision,
        tables=(*made, cost.table()),
        readers=tuple(readers),
        learning=learning,
        importance=importance,
        manifest=manifest(material, results, plan, options.recipe, options.to_dict()),
    )


def write_manifest(result: StudyResult, cost: Cost, out: Path) -> None:
    """Write manifest.json, the same in every run, and cost.json, which is not.

    Raises:
        StudyInputError: The folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "manifest.json").write_text(manifest_json(result.manifest), encoding="utf-8")
        (out / "cost.json").write_text(cost.to_json(), encoding="utf-8")
    except OSError as error:
        raise StudyInputError(f"{out} cannot be written: {error.strerror}") from error


def _preparation(material: Material, options: StudyOptions) -> Prepare | None:
    others = tuple(look for look in (material.second, material.again) if look is not None)
    if options.drop_unstable and not others:
        raise StudyInputError(
            "--drop-unstable needs second outlines: a cohort with the column reader2_seg,"
            " or again.csv"
        )
    if not (options.drop_unstable or options.harmonise):
        return None
    return Prepare(
        material.training.table,
        material.training.sites,
        others if options.drop_unstable else (),
        options.harmonise,
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """One study while it runs."""

    material: Material
    options: StudyOptions
    plan: Roster
    prepare: Prepare | None
    stage: Stage

    def trained(
        self,
        mode: Mode,
        prepare: Prepare | None,
        only: Sequence[str] = (),
        tables: Mapping[str, FeatureTable] | None = None,
    ) -> tuple[ModelResult, ...]:
        """Train and judge the models, or those named, on the cohorts or on other tables of them."""
        training, outside = self.material.training.table, self.material.external
        external = None if outside is None else outside.table
        if tables is not None:
            training, external = tables["training"], tables.get("external")
        models = tuple(m for m in self.plan.models if not only or m.name in only)
        found = _TRAIN[mode](
            training,
            self.options.recipe,
            self.options.jobs or -1,
            self.stage(f"training, {mode}"),
            models=models,
            prepare=prepare,
        )
        if prepare is not None and external is not None and outside is not None:
            everything = np.arange(len(training.ids))
            external = prepare.applied(everything, external, outside.sites)
        return judge_all(found, training, external, mode, self.options.seed, self.plan.notes)

    def extras(self, shown: Sequence[ModelResult]) -> tuple[list[Table], dict[str, float], Any]:
        """Run what was asked for beside the models."""
        made: list[Table] = []
        importance: dict[str, float] = {}
        learning = np.empty((0, 3))
        about = primary(shown).name
        specification = next(m for m in self.plan.models if m.name == about)
        table, recipe, jobs = (
            self.material.training.table, self.options.recipe, self.options.jobs or -1
        )  # fmt: skip
        if self.options.harmonise:
            plain = replace(self.prepare, harmonise=False) if self.prepare else None
            mode = self.options.modes[0]
            made.append(compared("harmonisation", self.trained(mode, plain), shown))
        if self.material.standardised and "strict" in self.options.modes:
            again = self.trained("strict", None, _STANDARDISED, self.material.standardised)
            made.append(compared("standardisation", shown, again))
        if self.options.importance:
            importance = permutation_importance(table, specification, recipe, jobs, self.prepare)
            rows = [(name, f"{fall:+.4f}") for name, fall in importance.items()]
            made.append(worded_table("importance", rows, model=about, repeats=SHUFFLES))
        if self.options.learning_curve:
            learning = learning_curve(table, specification, recipe, jobs)
            rows_ = [(f"{n:.0f}", f"{mean:.3f}", f"{sd:.3f}") for n, mean, sd in learning]
            made.append(worded_table("learning", rows_, model=about, draws=DRAWS))
        return made, importance, learning
