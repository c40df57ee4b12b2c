"""Abstention: the sets cover what they promise, and equal those of an independent library."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from models.fusion.conformal import ConformalReference
from models.fusion.errors import FusionError

Vector = NDArray[np.float64]


class GivenProbabilities(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose only feature is the probability of malignancy."""

    def __init__(self) -> None:
        self.classes_ = np.array([0, 1])

    def fit(self, X: Vector, y: Vector) -> GivenProbabilities:  # noqa: ARG002, N803 - scikit-learn's
        return self

    def predict_proba(self, X: Vector) -> Vector:  # noqa: N803 - scikit-learn's
        return np.stack([1 - X[:, 0], X[:, 0]], axis=1)

    def predict(self, X: Vector) -> Vector:  # noqa: N803 - scikit-learn's
        return (X[:, 0] >= 0.5).astype(int)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def scored_cases(count: int, seed: int, effect: float = 1.5) -> tuple[Vector, NDArray[np.int64]]:
    """Probabilities of overlapping classes, 40 % malignant."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype(np.int64)
    return 1 / (1 + np.exp(-rng.normal(effect * (2 * labels - 1), 1.5))), labels


@pytest.fixture(scope="module")
def a_reference() -> ConformalReference:
    return ConformalReference.of(*scored_cases(400, 1))


@pytest.mark.parametrize("error", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("label", [0, 1])
def test_each_class_is_in_the_set_exactly_where_mapie_puts_it(error: float, label: int) -> None:
    # Mondrian by class is split conformal on the calibration cases of that class alone.
    probabilities, labels = scored_cases(400, 1)
    own = labels == label
    oracle = SplitConformalClassifier(
        GivenProbabilities(), confidence_level=1 - error, conformity_score="lac", prefit=True
    )
    oracle.conformalize(probabilities[own, None], labels[own])
    fresh, _ = scored_cases(1000, 2)
    theirs = oracle.predict_set(fresh[:, None])[1][:, label, 0]
    reference = ConformalReference.of(probabilities, labels)
    name = ("benign", "malignant")[label]
    ours = [name in reference.classes(score, error) for score in fresh.tolist()]
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("error", [0.05, 0.1, 0.2])
def test_the_share_of_missed_classes_is_the_tolerated_one_in_each_class(error: float) -> None:
    missed: dict[int, list[bool]] = {0: [], 1: []}
    for seed in range(20):
        reference = ConformalReference.of(*scored_cases(300, seed))
        for score, label in zip(*scored_cases(300, 1000 + seed), strict=True):
            name = ("benign", "malignant")[label]
            missed[int(label)].append(name not in reference.classes(float(score), error))
    for flags in missed.values():
        assert np.mean(flags) == pytest.approx(error, abs=0.02)


def test_a_smaller_tolerated_error_never_takes_a_class_away(
    a_reference: ConformalReference,
) -> None:
    for score in np.linspace(0, 1, 101).tolist():
        sets = [set(a_reference.classes(score, error)) for error in (0.02, 0.05, 0.1, 0.3)]
        assert all(larger >= smaller for larger, smaller in pairwise(sets))


def test_a_score_in_the_middle_leaves_both_classes_and_a_clear_one_leaves_one(
    a_reference: ConformalReference,
) -> None:
    assert a_reference.classes(0.5, 0.05) == ("benign", "malignant")
    assert a_reference.classes(0.99, 0.05) == ("malignant",)
    assert a_reference.classes(0.01, 0.05) == ("benign",)


def test_a_case_without_a_score_plays_no_part() -> None:
    probabilities, labels = scored_cases(100, 1)
    more = np.append(probabilities, np.nan), np.append(labels, 1)
    one, other = ConformalReference.of(probabilities, labels), ConformalReference.of(*more)
    np.testing.assert_array_equal(one.benign, other.benign)
    np.testing.assert_array_equal(one.malignant, other.malignant)


def test_below_the_lowest_error_the_smaller_class_is_never_left_out(
    a_reference: ConformalReference,
) -> None:
    assert len(a_reference.malignant) < len(a_reference.benign)
    lowest = a_reference.lowest_error()
    scores = np.linspace(0, 1, 50).tolist()
    assert all("malignant" in a_reference.classes(score, lowest * 0.999) for score in scores)
    assert not all("malignant" in a_reference.classes(score, lowest) for score in scores)


@pytest.mark.parametrize("error", [0.0, 1.0, -0.1])
def test_an_impossible_tolerated_error_is_refused(
    a_reference: ConformalReference, error: float
) -> None:
    with pytest.raises(FusionError, match="between 0 and 1"):
        a_reference.classes(0.5, error)


@pytest.mark.parametrize("values", [[], [0.5, 0.2], [-0.1, 0.5], [0.5, 1.2], [[0.1]]])
def test_a_reference_that_does_not_hold_together_is_refused(values: list[float]) -> None:
    with pytest.raises(FusionError, match="conformal reference"):
        ConformalReference(np.array(values, dtype=np.float64), np.array([0.1]))
