"""Folds that keep a patient on one side and the classes in proportion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from models.fusion.errors import TooFewCasesError

Labels = NDArray[np.int64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


def grouped_folds(labels: Labels, patients: NDArray[np.int64], folds: int, seed: int) -> list[Fold]:
    """Split cases into stratified folds that never share a patient.

    Args:
        labels: (cases,) 0 or 1.
        patients: (cases,) a number a patient.
        folds: How many.
        seed: Of the shuffling.

    Returns:
        Pairs of row numbers: to fit on, to hold out.

    Raises:
        TooFewCasesError: A class has fewer patients than folds.
    """
    smallest = min(len(np.unique(patients[labels == label])) for label in (0, 1))
    if smallest < folds:
        raise TooFewCasesError(f"{folds} folds need {folds} patients a class, one has {smallest}")
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels, groups=patients))


def repeated_folds(
    labels: Labels, patients: NDArray[np.int64], folds: int, repeats: int, seed: int
) -> list[Fold]:
    """Return `repeats` different sets of grouped folds, one after the other."""
    return [
        fold
        for repeat in range(repeats)
        for fold in grouped_folds(labels, patients, folds, seed + repeat)
    ]


def patient_numbers(patients: tuple[str, ...]) -> NDArray[np.int64]:
    """Number the patients: (cases,) int, equal for equal patients."""
    return np.unique(np.array(patients), return_inverse=True)[1].astype(np.int64)
