"""Late fusion: a support vector machine over the probabilities of other models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.fusion.calibration import sigmoid
from models.fusion.classifiers import FittedSvm, fit_calibrated
from models.fusion.frozen import FrozenFusion
from models.fusion.settings import FusionSettings


def fit_late_fusion(
    names: tuple[str, ...],
    members: Sequence[FittedSvm],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    settings: FusionSettings,
) -> FrozenFusion:
    """Fit the head on the members' held-out probabilities (METHOD: out-of-fold, never fitted).

    Args:
        names: Of the members.
        members: Fitted on the same rows, in the order of `names`.
        labels: (cases,) 0 or 1.
        patients: (cases,) a number a patient.
        settings: The fixed choices.
    """
    probabilities = np.stack([sigmoid(member.held_out) for member in members], axis=1)
    head = fit_calibrated(names, probabilities, labels, patients, settings, select=False)
    return FrozenFusion(tuple(member.frozen for member in members), head.frozen)
