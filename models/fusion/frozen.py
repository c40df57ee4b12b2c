"""The fitted models as plain arrays: what a bundle stores and serving computes with.

Nothing here needs scikit-learn, and no step goes through BLAS, so that a score is the same to
the last bit however many threads or cases there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.fusion.calibration import Sigmoid, sigmoid
from models.fusion.errors import FusionError

Matrix: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FrozenSvm:
    """An RBF support vector machine over standardised features, with its calibration.

    Attributes:
        names: The selected features, in the order of every array below.
        mean: (features,) training mean.
        scale: (features,) training standard deviation.
        support: (vectors, features) support vectors, standardised.
        dual: (vectors,) signed dual coefficients.
        intercept: Added to the kernel sum.
        gamma: Of exp(-gamma * squared distance).
        calibration: From decisions to log-odds.
    """

    names: tuple[str, ...]
    mean: Matrix
    scale: Matrix
    support: Matrix
    dual: Matrix
    intercept: float
    gamma: float
    calibration: Sigmoid

    def __post_init__(self) -> None:
        features = (len(self.names),)
        if not self.names or self.mean.shape != features or self.scale.shape != features:
            raise FusionError("a model needs a mean and a scale for each of its features")
        if self.support.shape != (len(self.dual), len(self.names)):
            raise FusionError("every support vector needs all features and one coefficient")
        arrays = (self.mean, self.scale, self.support, self.dual)
        if not all(np.isfinite(array).all() for array in arrays) or not (self.scale > 0).all():
            raise FusionError("a model's arrays must be finite and its scales positive")
        if not np.isfinite(self.intercept) or not self.gamma > 0:
            raise FusionError("a model needs a finite intercept and a positive gamma")

    def standardised(self, values: Matrix) -> Matrix:
        """Return (values - mean) / scale of raw features (cases, features)."""
        return (values - self.mean) / self.scale

    def decision(self, values: Matrix) -> Matrix:
        """Return the signed SVM decision (cases,) for raw features (cases, features)."""
        standardised = self.standardised(values)
        decisions = np.empty(len(standardised))
        for row, case in enumerate(standardised):
            distance = np.square(self.support - case).sum(axis=1)
            decisions[row] = np.sum(self.dual * np.exp(-self.gamma * distance))
        return decisions + self.intercept

    def logit(self, values: Matrix) -> Matrix:
        """Return the calibrated log-odds of malignancy (cases,) for raw features."""
        return self.calibration.logit(self.decision(values))

    @property
    def reference(self) -> Matrix:
        """The raw features (features,) of an average training case."""
        return self.mean


@dataclass(frozen=True, slots=True)
class FrozenFusion:
    """A support vector machine over the probabilities of other models (late fusion).

    Attributes:
        members: The models that are asked first.
        head: Its features are the members' probabilities, in their order.
    """

    members: tuple[FrozenSvm, ...]
    head: FrozenSvm

    def __post_init__(self) -> None:
        if len(self.members) < 2 or len(self.head.names) != len(self.members):
            raise FusionError("a late fusion needs one head feature for each of its members")

    @property
    def names(self) -> tuple[str, ...]:
        """Every feature that some member needs, in the order of the members, none twice."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.names))

    @property
    def reference(self) -> Matrix:
        """The raw features (features,) of an average training case."""
        means: dict[str, float] = {}
        for member in self.members:
            means |= dict(zip(member.names, member.mean, strict=True))
        return np.array([means[name] for name in self.names])

    def logit(self, values: Matrix) -> Matrix:
        """Return the calibrated log-odds (cases,) for raw features (cases, features)."""
        position = {name: index for index, name in enumerate(self.names)}
        probabilities = [
            sigmoid(member.logit(values[:, [position[name] for name in member.names]]))
            for member in self.members
        ]
        return self.head.logit(np.stack(probabilities, axis=1))


FrozenModel: TypeAlias = FrozenSvm | FrozenFusion
