"""What a study is made of, wherever it comes from: cases with features, and how they came to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError
from models.fusion.table import FeatureTable, family_of
from models.study.results import FlowStep
from models.study.run_words import say

Reads = Mapping[str, Mapping[str, str | None]]
"""A reader's classes: case -> semantic feature -> class."""


class StudyInputError(ModelsError):
    """What was given does not make a study: the message says which row or column to mend."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """The cases of one cohort.

    Attributes:
        table: Their features.
        groups: By name (site, vendor, sex, age, size), each case's value, "" where not known.
        intermediate: (cases,) whether the lesion is of intermediate malignancy.
    """

    table: FeatureTable
    groups: Mapping[str, tuple[str, ...]]
    intermediate: NDArray[np.bool_]

    def __post_init__(self) -> None:
        cases = len(self.table.ids)
        if len(self.intermediate) != cases or any(len(v) != cases for v in self.groups.values()):
            raise StudyInputError("every case needs a value in each group")

    @property
    def sites(self) -> tuple[str, ...]:
        """Each case's site."""
        return self.groups["site"]

    def rows(self, chosen: NDArray[np.bool_]) -> Subjects:
        """Return the chosen cases."""
        return Subjects(
            self.table.rows(chosen),
            {
                name: tuple(v for v, stays in zip(values, chosen, strict=True) if stays)
                for name, values in self.groups.items()
            },
            self.intermediate[chosen],
        )

    def with_columns(self, names: tuple[str, ...]) -> Subjects:
        """Return the same cases with these features only."""
        table = self.table
        narrow = FeatureTable(table.ids, table.patients, table.labels, names, table.columns(names))
        return Subjects(narrow, self.groups, self.intermediate)


@dataclass(frozen=True, slots=True)
class Material:
    """Everything a study is computed from.

    Attributes:
        training: The cases that models are fitted on.
        external: The cases of the second cohort, or None.
        flow: How many there were at the start, and who was left out why.
        dropped: Reason -> columns left out.
        inputs: Name -> SHA-256 of every file that was read.
        settings: How features were measured; empty for a table.
        simulated: Whether the patients were.
        second: The second reader's features of some training cases, for stability; or None.
        again: The first reader's features of some of them, outlined a second time; or None.
        reads: Two readers' classes of the training lesions, for their kappa; or None.
        standardised: By cohort, the same cases measured on standardised intensities; may be empty.
    """

    training: Subjects
    external: Subjects | None
    flow: tuple[FlowStep, ...]
    dropped: Mapping[str, tuple[str, ...]]
    inputs: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    second: FeatureTable | None = None
    again: FeatureTable | None = None
    reads: tuple[Reads, Reads] | None = None
    standardised: Mapping[str, FeatureTable] = field(default_factory=dict)


def usable_columns(table: FeatureTable) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Decide which columns a study can use, by their training values alone.

    Image features must be finite in every case and vary; clinical ones must vary where they are
    known, and a case that lacks one is left out of the models that need it. Labels are not looked
    at, so nothing leaks.

    Args:
        table: Of the training cohort.

    Returns:
        The names that stay, and those that go by reason.
    """
    finite = np.isfinite(table.values)
    known = np.where(finite, table.values, np.nan)
    low, high = (_without_gaps(bound, known) for bound in (np.fmin, np.fmax))
    kept: list[str] = []
    gone: dict[str, list[str]] = {"missing": [], "constant": []}
    for place, name in enumerate(table.names):
        whole = finite[:, place].all() or (family_of(name) == "clinical" and finite[:, place].any())
        if not whole:
            gone["missing"].append(name)
        elif low[place] == high[place]:
            gone["constant"].append(name)
        else:
            kept.append(name)
    return tuple(kept), {say(f"dropped.{why}"): tuple(n) for why, n in gone.items() if n}


def _without_gaps(bound: np.ufunc, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(bound.reduce(values, axis=0), dtype=np.float64)


def without_images(table: FeatureTable) -> dict[str, tuple[str, ...]]:
    """Return the cases that lack most of an image family: family -> ids.

    Most is more than half of the columns that any case has: such a row was never measured, and
    would otherwise cost every other case those columns.
    """
    found: dict[str, tuple[str, ...]] = {}
    families = np.array([family_of(name) for name in table.names])
    for family in ("radiomics", "deep"):
        own = np.isfinite(table.values[:, families == family])
        own = own[:, own.any(axis=0)]
        if own.shape[1]:
            rows = np.flatnonzero((~own).mean(axis=1) > 0.5)
            if len(rows):
                found[family] = tuple(table.ids[row] for row in rows)
    return found


def count_by_site(sites: Sequence[str], cohorts: Sequence[str]) -> dict[str, int]:
    """Count cases by site, or by cohort where the site is not said."""
    names = [site or cohort for site, cohort in zip(sites, cohorts, strict=True)]
    return dict(sorted(Counter(names).items()))
