"""The cohort's flowchart: who was listed, who was left out why, who remained at each site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.study.material import count_by_site
from models.study.results import FlowStep
from models.study.run_words import criteria, say


class Flow:
    """Counts lesions from box to box.

    Attributes:
        kept: (listed,) who is still there.
    """

    def __init__(self, ids: Sequence[str], sites: Sequence[str], cohorts: Sequence[str]) -> None:
        self._ids, self._sites, self._cohorts = tuple(ids), tuple(sites), tuple(cohorts)
        self.kept: NDArray[np.bool_] = np.ones(len(ids), dtype=bool)
        self._steps = [FlowStep(say("flow.listed"), self._counts())]

    def leave_out(self, box: str, reasons: Mapping[str, Sequence[str]]) -> None:
        """Leave cases out; each counts under the first reason that names it.

        Args:
            box: Of the words, such as `measured`.
            reasons: Reason -> ids; those already out are not counted again.
        """
        places = {name: place for place, name in enumerate(self._ids)}
        excluded: dict[str, tuple[str, ...]] = {}
        for reason, ids in reasons.items():
            left = tuple(name for name in ids if self.kept[places[name]])
            self.kept[[places[name] for name in left]] = False
            if left:
                excluded[reason] = left
        self._steps.append(FlowStep(say(f"flow.{box}"), self._counts(), excluded))

    def leave_out_listed(self, codes: Sequence[str]) -> None:
        """Leave out the rows whose column `exclusion` says why, in the order of the criteria."""
        known = criteria()
        if not any(codes):
            return
        order = [*known, *sorted({code for code in codes if code} - set(known))]
        reasons = {
            known.get(code, code): [n for n, c in zip(self._ids, codes, strict=True) if c == code]
            for code in order
        }
        self.leave_out("eligible", reasons)

    def ids(self) -> tuple[str, ...]:
        """Return who is still there."""
        return self._those(self._ids)

    def cohorts(self) -> tuple[str, ...]:
        """Return the cohort of each that is still there."""
        return self._those(self._cohorts)

    def steps(self) -> tuple[FlowStep, ...]:
        """Return the boxes so far."""
        return tuple(self._steps)

    def _counts(self) -> dict[str, int]:
        return count_by_site(self._those(self._sites), self._those(self._cohorts))

    def _those(self, values: Sequence[str]) -> tuple[str, ...]:
        return tuple(value for value, stays in zip(values, self.kept, strict=True) if stays)
