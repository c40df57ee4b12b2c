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
from models.study.stability import unstable


@dataclass(frozen=True, slots=True)
class Prepare:
    """Makes the table as a side of a fold may see it; called with the rows it fits on.

    Attributes:
        table: The training cohort.
        sites: (cases,) of its cases.
        others: Features of some of its cases on other outlines, by a second reader or by the first
            one again; what any of them shows to be unstable is dropped. Without any, nothing is.
        harmonise: Whether image features are harmonised between sites.
    """

    table: FeatureTable
    sites: tuple[str, ...]
    others: tuple[FeatureTable, ...]
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
        images = [name for name in names if family_of(name) != "clinical"]
        gone = {name for other in self.others for name in unstable(fitted_on, other, images)}
        names = tuple(name for name in names if name not in gone)
        narrow = FeatureTable(table.ids, table.patients, table.labels, names, table.columns(names))
        if not self.harmonise:
            return narrow
        own_sites = [site for place, site in enumerate(self.sites) if place in set(rows.tolist())]
        measured = tuple(name for name in names if family_of(name) != "clinical")
        harmony = SiteHarmony.fit(fitted_on.columns(measured), own_sites)
        frame = pd.DataFrame(narrow.values, columns=list(names))
        frame[list(measured)] = harmony.apply(narrow.columns(measured), sites)
        return FeatureTable(table.ids, table.patients, table.labels, names, frame.to_numpy())
