"""What a runner answers: a torch-free value, so that callers need not load torch to name it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.backbone.errors import DeepInputError


@dataclass(frozen=True, slots=True)
class DeepResult:
    """Deep features and how they were computed.

    Attributes:
        features: `(N, F)` float32, one row a case.
        device: the device that really ran, "cpu" or "cuda:N".
        fallback_reason: why that is not what was asked for; empty where it is.
    """

    features: NDArray[np.float32]
    device: str
    fallback_reason: str = ""

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.features.dtype != np.float32:
            raise DeepInputError(f"features must be (N, F) float32, not {self.features.shape}")
        if not np.isfinite(self.features).all():
            raise DeepInputError("the backbone gave a feature that is not a finite number")
        if not self.device:
            raise DeepInputError("a result names the device that ran")


class FeatureRunner(Protocol):
    """Anything that turns a batch of crops into features; `DeepRunner` is the one that ships."""

    def features(self, batch: NDArray[np.float32]) -> DeepResult:
        """Features of `(N, 1, S, S)` float32 crops."""
        ...
