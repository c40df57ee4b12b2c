"""What moved one case's score: the log-odds, shared out over the features.

Integrated gradients (Sundararajan, Taly & Yan 2017) from the average training case to the case:
along the straight line between both, in standardised features, the gradient of the calibrated
log-odds is integrated feature by feature. The shares sum to
`log-odds(case) - log-odds(average training case)`: nothing is left over (completeness). A feature
with the training mean has no share, and a feature that the model does not use is not asked.

Support vector machines are smooth, so that the integral is Gauss-Legendre quadrature with a known
error: nodes are doubled until the shares sum as they must.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.bundles.errors import AttributionError
from models.fusion.calibration import sigmoid
from models.fusion.frozen import FrozenFusion, FrozenModel, FrozenSvm

Vector = NDArray[np.float64]

TOLERANCE = 1e-6
"""Largest difference of the shares' sum from the change of the log-odds."""
_NODES = (16, 32, 64, 128, 256, 512, 1024, 2048)


def attribute(model: FrozenModel, values: Vector) -> Vector:
    """Return each feature's signed share of the log-odds; positive speaks for malignancy.

    Args:
        model: The model that answered.
        values: (features,) raw features of the case, in the order of `model.names`.

    Returns:
        (features,) shares; their sum is `model.logit(values) - model.logit(model.reference)`.

    Raises:
        AttributionError: The shares cannot be made to sum: a feature lies so far out that the
            model is flat but for a spike on the way.
    """
    start = model.reference
    ends = np.stack([start, values])
    before, after = model.logit(ends)
    for count in _NODES:
        places, weights = np.polynomial.legendre.leggauss(count)
        shares = np.zeros(len(values))
        for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
            shares += weight * gradient(model, start + place * (values - start))
        shares *= values - start
        if abs(shares.sum() - (after - before)) <= TOLERANCE:
            return shares
    raise AttributionError("the score of this case cannot be shared out over its features")


def most_influential(
    model: FrozenModel, values: Vector, count: int = 5
) -> tuple[tuple[str, float], ...]:
    """Return the features with the largest shares, largest magnitude first; ties by name.

    Args:
        model: The model that answered.
        values: (features,) raw features of the case, in the order of `model.names`.
        count: How many to return.
    """
    shares = attribute(model, values).tolist()
    ranked = sorted(
        zip(model.names, shares, strict=True), key=lambda item: (-abs(item[1]), item[0])
    )
    return tuple(ranked[:count])


def gradient(model: FrozenModel, values: Vector) -> Vector:
    """Return the derivative of the calibrated log-odds by each raw feature, (features,)."""
    if isinstance(model, FrozenSvm):
        return _svm_gradient(model, values)
    return _fusion_gradient(model, values)


def _svm_gradient(svm: FrozenSvm, values: Vector) -> Vector:
    """d/dx of slope * sum_i dual_i exp(-gamma |s_i - z|^2), z standardised."""
    offsets = svm.support - svm.standardised(values)
    weights = svm.dual * np.exp(-svm.gamma * np.square(offsets).sum(axis=1))
    by_standardised = 2 * svm.gamma * (weights[:, None] * offsets).sum(axis=0)
    return np.asarray(svm.calibration.slope * by_standardised / svm.scale)


def _fusion_gradient(fusion: FrozenFusion, values: Vector) -> Vector:
    """The chain rule through the members' probabilities."""
    position = {name: index for index, name in enumerate(fusion.names)}
    columns = [[position[name] for name in member.names] for member in fusion.members]
    probabilities = np.array(
        [
            float(sigmoid(member.logit(values[None, own]))[0])
            for member, own in zip(fusion.members, columns, strict=True)
        ]
    )
    by_member = _svm_gradient(fusion.head, probabilities) * probabilities * (1 - probabilities)
    total = np.zeros(len(values))
    for weight, member, own in zip(by_member, fusion.members, columns, strict=True):
        total[own] += weight * _svm_gradient(member, values[own])
    return total
