"""Which models there are and what each may look at (models.toml)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from models.fusion.errors import FusionError
from models.fusion.table import Family, FeatureTable, family_of


@dataclass(frozen=True, slots=True)
class ModelSpecification:
    """One of the paper's models.

    Exactly one of `features`, `families` and `members` is given: a fixed list of features that
    is not selected from, families of features that are, or models fused by probability.
    """

    name: str
    title: str
    features: tuple[str, ...] = ()
    families: tuple[Family, ...] = ()
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum(map(bool, (self.features, self.families, self.members))) != 1:
            raise FusionError(f"{self.name}: give features, families or members, one of them")

    def candidates(self, table: FeatureTable) -> tuple[str, ...]:
        """Return the columns the model may select from; empty if a family is not in the table."""
        if self.features:
            return self.features if set(self.features) <= set(table.names) else ()
        present = {family_of(name) for name in table.names}
        if not set(self.families) <= present:
            return ()
        return tuple(name for name in table.names if family_of(name) in self.families)


@cache
def nine_models() -> tuple[ModelSpecification, ...]:
    """Return the paper's nine models, in its order."""
    text = files("models.fusion").joinpath("models.toml").read_text(encoding="utf-8")
    return tuple(
        ModelSpecification(
            name=row["name"],
            title=row["title"],
            features=tuple(row.get("features", ())),
            families=tuple(row.get("families", ())),
            members=tuple(row.get("members", ())),
        )
        for row in tomllib.loads(text)["model"]
    )
