"""ComBat between sites: fitted on training cases only, and without their labels.

Location and scale of each feature at each site, shrunk by empirical Bayes (Johnson 2007, Fortin
2018), by neuroHarmonize (Pomponio 2020), which comes with `pip install crdl-node[harmonisation]`.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.study.material import StudyInputError

Matrix = NDArray[np.float64]
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class SiteHarmony:
    """What was learned of the sites.

    Attributes:
        model: Of neuroHarmonize.
        sites: That it knows; cases of other sites stay as measured.
    """

    model: Any
    sites: frozenset[str]

    @classmethod
    def fit(cls, values: Matrix, sites: Sequence[str]) -> SiteHarmony:
        """Learn from training cases.

        Args:
            values: (cases, features) finite, none constant within all sites.
            sites: (cases,); sites with fewer than three cases are passed over.

        Raises:
            StudyInputError: neuroHarmonize is not installed, or fewer than two sites are there.
        """
        try:
            from neuroHarmonize import (  # type: ignore[import-untyped]  # noqa: PLC0415 - optional
                harmonizationLearn,
            )
        except ImportError as error:
            raise StudyInputError(
                "harmonisation needs neuroHarmonize: pip install 'crdl-node[harmonisation]'"
            ) from error
        known = frozenset(s for s, cases in Counter(sites).items() if s and cases >= _FEWEST)
        if len(known) < 2:
            raise StudyInputError(
                "harmonisation needs at least two sites with three training cases each; "
                "give the column `site`"
            )
        own = np.array([site in known for site in sites])
        covariates = pd.DataFrame({"SITE": [s for s in sites if s in known]})
        with contextlib.redirect_stdout(io.StringIO()):  # it talks
            model, _ = harmonizationLearn(values[own], covariates)
        return cls(model, known)

    def apply(self, values: Matrix, sites: Sequence[str]) -> Matrix:
        """Return the values (cases, features) with known sites harmonised."""
        from neuroHarmonize import harmonizationApply  # noqa: PLC0415 - optional

        own = np.array([site in self.sites for site in sites])
        harmonised = values.copy()
        if own.any():
            covariates = pd.DataFrame({"SITE": [s for s in sites if s in self.sites]})
            with contextlib.redirect_stdout(io.StringIO()):
                harmonised[own] = harmonizationApply(values[own], covariates, self.model)
        # A feature without spread at a site has no scale there: it stays as measured.
        return np.where(np.isfinite(harmonised), harmonised, values)
