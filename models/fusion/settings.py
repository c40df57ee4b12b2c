"""The fixed choices of the fitting procedure, as one frozen value that a bundle records."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from models.fusion.errors import FusionError


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """How the nine models are fitted and judged (METHOD, "Fixed choices").

    Attributes:
        folds: Of the outer cross-validation, and of the one that calibrates.
        lasso_folds: Of the cross-validation that chooses the LASSO penalty.
        lasso_alphas: Number of penalties on the path.
        lasso_eps: Smallest over largest penalty.
        lasso_tolerance: Of the coordinate descent (dual gap).
        lasso_iterations: At most so many passes.
        significance: Features with a Student t-test p below this pass the filter.
        search_folds: Of the cross-validation that chooses C.
        search_repeats: How often that cross-validation is repeated.
        search_rows: On more cases than this C is chosen on a stratified sample of whole patients
            of about this size; the machine itself is still fitted on every case.
        costs: Candidates for the SVM's C.
        youden_weight: r in sensitivity + r * specificity.
        novelty_quantile: Share of the training cases that count as in distribution.
        seed: Of every shuffling.
    """

    folds: int = 5
    lasso_folds: int = 10
    lasso_alphas: int = 20
    lasso_eps: float = 1e-2
    lasso_tolerance: float = 1e-3
    lasso_iterations: int = 1000
    significance: float = 0.05
    search_folds: int = 5
    search_repeats: int = 5
    search_rows: int = 1000
    costs: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    youden_weight: float = 1.0
    novelty_quantile: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.folds, self.lasso_folds, self.search_folds) < 2:
            raise FusionError("a cross-validation needs at least 2 folds")
        if self.search_repeats < 1 or not self.costs or min(self.costs) <= 0:
            raise FusionError("the search needs at least one repeat and positive costs")
        if self.search_rows < 100:
            raise FusionError("the search for C needs at least 100 cases (search_rows)")
        if not 0 < self.significance <= 1 or not 0 < self.novelty_quantile < 1:
            raise FusionError("significance and novelty_quantile are probabilities")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self) | {"costs": list(self.costs)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FusionSettings:
        """Rebuild the settings that `to_dict` wrote."""
        return cls(**(data | {"costs": tuple(data["costs"])}))
