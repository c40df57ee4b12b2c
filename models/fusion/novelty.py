"""How far a case lies from what the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.fusion.errors import FusionError

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NoveltyReference:
    """The cloud of training cases: its centre, its whitening and how far out is too far.

    Attributes:
        names: Features in the order of the arrays.
        mean: (features,) of the raw features.
        scale: (features,) of the raw features.
        whitening: (features, features) W with W W^T the inverse covariance.
        cutoff: Distance that the stated share of held-out training cases stays within.
    """

    names: tuple[str, ...]
    mean: Matrix
    scale: Matrix
    whitening: Matrix
    cutoff: float

    def __post_init__(self) -> None:
        count = len(self.names)
        shapes = (self.mean.shape, self.scale.shape, self.whitening.shape)
        if shapes != ((count,), (count,), (count, count)):
            raise FusionError("a novelty reference needs one mean, scale and axis a feature")
        if not self.cutoff > 0 or not (self.scale > 0).all():
            raise FusionError("a novelty reference needs a positive cutoff and positive scales")

    def distance(self, values: Matrix) -> Matrix:
        """Return the root mean squared whitened deviation (cases,) of (cases, features).

        It is the Mahalanobis distance over the root of the number of features.
        """
        standardised = (values - self.mean) / self.scale
        whitened = np.stack([(case[:, None] * self.whitening).sum(axis=0) for case in standardised])
        return np.asarray(np.sqrt(np.square(whitened).mean(axis=1)))

    def score(self, values: Matrix) -> float:
        """Return the distance of one case (features,) in cutoffs; above 1 it is novel."""
        return float(self.distance(values[None, :])[0] / self.cutoff)
