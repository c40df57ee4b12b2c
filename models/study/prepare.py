"""What a fold learns before its models are fitted: which features are stable, how sites differ.

Both look at the rows that the fold fits on and at no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.fusion.table import FeatureTable, family_of
from models.study.harmonise import SiteHarmony
from models.study.statistics.agreement import icc_a1

STABLE = 0.80
"""An ICC(A,1) at or below this is unstable (paper, section 2.8)."""
FEWEST_TWICE = 5


@dataclass(frozen=True, slots=True)
class Prepare:
    """Makes the table as a side of a fold may see it; called with the rows it fits on.

    Attributes:
        table: The training cohort.
        sites: (cases,) of its cases.
        second: The second reader's features of some of its cases, to drop unstable features; or
            None, which drops none.
        harmonise: Whether image features are harmonised between sites.
    """

    table: FeatureTable
    sites: tuple[str, ...]
    second: FeatureTable | None
    harmonise: bool

    def __call__(self, rows: NDArray[np.int64]) -> FeatureTable:
        """Return all training cases as the fit on `rows` may see them."""
        return self.applied(rows, self.table, self.sites)

    def applied(
        self, rows: NDArray[np.int64], table: FeatureTable, sites: Sequence[str]
    ) -> FeatureTable:
        """Return any cases, such as the external ones, under what `rows` of the training teach."""
        fitted_on = self.table.rows(np.isin(np.arange(len(self.table.ids)), rows))
        names = self.table.names
        if self.second is not None:
            gone = set(unstable(fitted_on, self.second))
            names = tuple(name for name in names if name not in gone)
        narrow = FeatureTable(table.ids, table.patients, table.labels, names, table.columns(names))
        if not self.harmonise:
            return narrow
        own_sites = [site for place, site in enumerate(self.sites) if place in set(rows.tolist())]
        images = tuple(name for name in names if family_of(name) != "clinical")
        harmony = SiteHarmony.fit(fitted_on.columns(images), own_sites)
        frame = pd.DataFrame(narrow.values, columns=list(names))
        frame[list(images)] = harmony.apply(narrow.columns(images), sites)
        return FeatureTable(table.ids, table.patients, table.labels, names, frame.to_numpy())


def agreement(first: FeatureTable, second: FeatureTable) -> dict[str, float]:
    """Return ICC(A,1) of every image feature over the cases that both readers outlined.

    Args:
        first: The first reader's features.
        second: The second reader's; ids and names that the first lacks are passed over.

    Returns:
        Name -> ICC; empty with fewer than five common cases, NaN where a feature cannot be judged.
    """
    common = [name for name in second.ids if name in set(first.ids)]
    names = tuple(n for n in first.names if family_of(n) != "clinical" and n in set(second.names))
    if len(common) < FEWEST_TWICE or not names:
        return {}
    ratings = np.stack([_aligned(table, common, names) for table in (first, second)], axis=1)
    found = np.full(len(names), np.nan)
    known = np.isfinite(ratings).all(axis=(0, 1))
    found[known] = icc_a1(ratings[:, :, known])
    return dict(zip(names, found.tolist(), strict=True))


def unstable(first: FeatureTable, second: FeatureTable) -> tuple[str, ...]:
    """Return the features whose ICC(A,1) between readers is not above 0.80."""
    return tuple(name for name, icc in agreement(first, second).items() if icc <= STABLE)


def _aligned(
    table: FeatureTable, ids: Sequence[str], names: tuple[str, ...]
) -> NDArray[np.float64]:
    places = {name: place for place, name in enumerate(table.ids)}
    return table.columns(names)[[places[name] for name in ids]]
