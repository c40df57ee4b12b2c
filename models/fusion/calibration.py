"""From SVM decisions to probabilities, and from one prevalence to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.fusion.errors import FusionError

_ITERATIONS = 100
_RIDGE = 1e-12
_GRADIENT = 1e-10


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """logit p = slope * decision + offset (Platt 1999)."""

    slope: float
    offset: float

    def __post_init__(self) -> None:
        if not np.isfinite((self.slope, self.offset)).all():
            raise FusionError("a calibration curve needs finite coefficients")

    def logit(self, decisions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the calibrated log-odds, shape as given."""
        return self.slope * decisions + self.offset


def fit_sigmoid(decisions: NDArray[np.float64], labels: NDArray[np.int64]) -> Sigmoid:
    """Fit Platt's sigmoid to held-out decisions by Newton's method (Lin, Lin & Weng 2007).

    The labels are smoothed as Platt does: (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), which keeps the
    likelihood bounded on separable data.

    Args:
        decisions: (cases,) out-of-fold SVM decision values.
        labels: (cases,) 0 or 1.

    Raises:
        FusionError: Only one class is there.
    """
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if positives == 0 or negatives == 0:
        raise FusionError("calibration needs cases of both classes")
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([decisions, np.ones_like(decisions)], axis=1)
    weights = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    loss = _loss(design @ weights, target)
    for _ in range(_ITERATIONS):
        probability = sigmoid(design @ weights)
        gradient = design.T @ (probability - target)
        if np.abs(gradient).max() < _GRADIENT:
            break
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.solve(curvature + _RIDGE * np.eye(2), gradient).astype(np.float64)
        weights, loss = _line_search(design, target, weights, step, loss)
    return Sigmoid(float(weights[0]), float(weights[1]))


def _line_search(
    design: NDArray[np.float64],
    target: NDArray[np.float64],
    weights: NDArray[np.float64],
    step: NDArray[np.float64],
    loss: float,
) -> tuple[NDArray[np.float64], float]:
    """Halve Newton's step until the loss does not grow."""
    size = 1.0
    while size > _GRADIENT:
        candidate = weights - size * step
        candidate_loss = _loss(design @ candidate, target)
        if candidate_loss <= loss:
            return candidate, candidate_loss
        size /= 2
    return weights, loss


def _loss(logits: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0, logits) - target * logits))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-logits)) without overflow."""
    return np.exp(-np.logaddexp(0, -logits))


def logit(probability: float) -> float:
    """Return the log-odds of a probability.

    Raises:
        FusionError: The probability is not strictly between 0 and 1.
    """
    if not 0 < probability < 1:
        raise FusionError(f"a probability of {probability} has no log-odds")
    return float(np.log(probability) - np.log1p(-probability))


def prior_shift(trained_at: float, applied_at: float) -> float:
    """Return what to add to a log-odds when the prevalence is another than in training.

    By Bayes, with the likelihood ratio of the features unchanged (Saerens et al. 2002):
    logit p' = logit p + logit(applied_at) - logit(trained_at).
    """
    return logit(applied_at) - logit(trained_at)
