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


def folds_up_to(labels: Labels, patients: NDArray[np.int64], folds: int, seed: int) -> list[Fold]:
    """Split as `grouped_folds` does, into fewer folds where a class has fewer patients.

    For the folds inside a training side, which may hold few cases of the rarer class; at least
    two are made. The outer folds, whose number the study states, are never reduced.

    Raises:
        TooFewCasesError: A class has fewer than two patients.
    """
    smallest = min(len(np.unique(patients[labels == label])) for label in (0, 1))
    return grouped_folds(labels, patients, max(2, min(folds, smallest)), seed)


def sample_of_patients(
    labels: Labels, patients: NDArray[np.int64], rows: int, seed: int
) -> NDArray[np.int64]:
    """Return the row numbers of about `rows` cases, classes in proportion, patients whole.

    Every row where there are no more than `rows`.
    """
    if len(labels) <= rows:
        return np.arange(len(labels))
    parts = folds_up_to(labels, patients, -(-len(labels) // rows), seed)
    return np.asarray(parts[0][1], dtype=np.int64)


def repeated_folds(
    labels: Labels, patients: NDArray[np.int64], folds: int, repeats: int, seed: int
) -> list[Fold]:
    """Return `repeats` different sets of inner folds, one after the other."""
    return [
        fold
        for repeat in range(repeats)
        for fold in folds_up_to(labels, patients, folds, seed + repeat)
    ]


def patient_numbers(patients: tuple[str, ...]) -> NDArray[np.int64]:
    """Number the patients: (cases,) int, equal for equal patients."""
    return np.unique(np.array(patients), return_inverse=True)[1].astype(np.int64)
