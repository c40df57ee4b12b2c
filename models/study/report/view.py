"""A study as its report looks at it: which mode it shows, which model it puts first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.study.results import CohortName, Mode, ModelResult, Performance, StudyResult, Table

PRIMARY = ("PreCRDL", "PostCRDL")
"""The model that the paper proposes, and the one that stands in for it."""


@dataclass(frozen=True, slots=True)
class View:
    """A study and the choices of what is shown first."""

    result: StudyResult

    @property
    def mode(self) -> Mode:
        """Strict where it was run: the printed procedure is shown beside it, never instead."""
        return "strict" if "strict" in self.result.models or not self.result.models else "paper"

    @property
    def models(self) -> tuple[ModelResult, ...]:
        """The models of the shown mode, in the paper's order."""
        return self.result.models.get(self.mode, ())

    @property
    def other(self) -> Mapping[str, ModelResult]:
        """The models of the mode that is only compared, by name; empty if one mode was run."""
        modes: tuple[Mode, ...] = ("strict", "paper")
        rest = [mode for mode in modes if mode != self.mode and mode in self.result.models]
        return {model.name: model for mode in rest for model in self.result.models[mode]}

    @property
    def primary(self) -> ModelResult | None:
        """The model that the headline is about, chosen before any external score is looked at.

        The paper's proposal if it was built, else the best cross-validated one.
        """
        built = {model.name: model for model in self.models}
        for name in PRIMARY:
            if name in built:
                return built[name]
        return max(self.models, key=lambda m: m.cross_validated.auc.value, default=None)

    @property
    def has_external(self) -> bool:
        """Whether any model was judged on an external cohort."""
        return any(model.external for model in self.models)

    def performance(self, model: ModelResult, cohort: CohortName) -> Performance | None:
        """Return how a model did on a cohort, None if it was not judged there."""
        return model.cross_validated if cohort == "training" else model.external

    @property
    def cohorts(self) -> tuple[CohortName, ...]:
        """The cohorts there are."""
        return ("training", "external") if self.has_external else ("training",)

    def table(self, name: str) -> Table | None:
        """Return the study's table of that name, None if it has no rows or was not made."""
        return next((t for t in self.result.tables if t.name == name and t.rows), None)

    def tables(self, prefix: str) -> tuple[Table, ...]:
        """Return every table whose name is `prefix` or begins with `prefix_`."""
        return tuple(
            table
            for table in self.result.tables
            if table.rows and (table.name == prefix or table.name.startswith(prefix + "_"))
        )

    @property
    def facts(self) -> frozenset[str]:
        """What this study has: the conditions under which a checklist item is answered here."""
        result = self.result
        found = {table.name for table in result.tables if table.rows}
        found |= {f"mode_{mode}" for mode in result.models}
        found |= {
            name
            for name, there in {
                "external": self.has_external,
                "reader_points": bool(result.readers),
                "flow": bool(result.flow),
                "models": bool(self.models),
                "comparisons": bool(result.comparisons),
                "curves": bool(result.curves),
                "importance": bool(result.importance),
                "learning": len(result.learning) > 0,
                "manifest": bool(result.manifest),
                "selected": any(model.selected for model in self.models),
            }.items()
            if there
        }
        return frozenset(found)
