"""When a score is too close to call: conformal prediction sets by class.

Each class keeps the nonconformity of its own training cases, 1 - p(that class), as models that
had not seen them gave it. A new case could be of a class if it is not stranger there than all but
the tolerated share of them: the Mondrian (class-conditional) split-conformal p-value of Vovk,
Gammerman & Shafer (2005, section 4.5), with the score of Sadinle, Lei & Wasserman (2019).

What holds: the reference comes from cross-validation (out-of-fold scores), and the served model is
fitted anew on all cases, so that the finite-sample guarantee of a separate calibration set does
not carry over; this is the cross-conformal approximation of Vovk (2015). The coverage is measured
on the external cohort instead and stands in the model card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.fusion.errors import FusionError

Vector = NDArray[np.float64]
ClassName = Literal["benign", "malignant"]


@dataclass(frozen=True, slots=True)
class ConformalReference:
    """How strange the training cases of each class looked while they were held out.

    Attributes:
        benign: (benign cases,) ascending nonconformity p(malignant), 0..1.
        malignant: (malignant cases,) ascending nonconformity 1 - p(malignant), 0..1.

    Raises:
        FusionError: A class has no case, or its values are not ascending within 0..1.
    """

    benign: Vector
    malignant: Vector

    def __post_init__(self) -> None:
        for values in (self.benign, self.malignant):
            if values.ndim != 1 or len(values) == 0:
                raise FusionError("a conformal reference needs cases of both classes")
            if not (np.diff(values) >= 0).all() or not 0 <= values[0] <= values[-1] <= 1:
                raise FusionError("a conformal reference holds ascending values within 0..1")

    @classmethod
    def of(cls, probabilities: Vector, labels: NDArray[np.int64]) -> ConformalReference:
        """Keep the out-of-fold probabilities (cases,) of both classes; NaN cases are left out."""
        there = np.isfinite(probabilities)
        scores, known = probabilities[there], labels[there]
        return cls(np.sort(scores[known == 0]), np.sort(1.0 - scores[known == 1]))

    def p_values(self, probability: float) -> dict[ClassName, float]:
        """Return how usual a case would be in each class: (1 + as strange or more) / (n + 1).

        Args:
            probability: Of malignancy, at the training prevalence.
        """
        return {
            "benign": _p_value(self.benign, probability),
            "malignant": _p_value(self.malignant, 1.0 - probability),
        }

    def classes(self, probability: float, error: float) -> tuple[ClassName, ...]:
        """Return the classes that the case may be of when a share `error` may be missed.

        Args:
            probability: Of malignancy, at the training prevalence.
            error: Tolerated share of the cases of each class whose class is not in their set.

        Raises:
            FusionError: The share is not strictly between 0 and 1.
        """
        if not 0 < error < 1:
            raise FusionError(f"a tolerated error lies between 0 and 1, not at {error}")
        return tuple(name for name, p in self.p_values(probability).items() if p > error)

    def lowest_error(self) -> float:
        """Return the smallest error at which either class can be left out of a set.

        A class with n cases is in every set below 1 / (n + 1).
        """
        return 1.0 / (min(len(self.benign), len(self.malignant)) + 1)


def _p_value(reference: Vector, strangeness: float) -> float:
    as_strange = len(reference) - int(np.searchsorted(reference, strangeness, side="left"))
    return (1 + as_strange) / (len(reference) + 1)
