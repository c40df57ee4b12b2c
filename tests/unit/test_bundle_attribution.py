"""The shares of a score: they sum to what they share out, and say what moved it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bundles.attribution import TOLERANCE, attribute, gradient, most_influential
from models.bundles.errors import AttributionError
from models.fusion.calibration import Sigmoid
from models.fusion.frozen import FrozenModel, FrozenSvm
from models.fusion.strict import TrainedModel
from tests.fusion_fixtures import sixty_cases

TABLE, MODELS = sixty_cases()

by_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.specification.name)


def values_of(model: FrozenModel, row: int) -> NDArray[np.float64]:
    return TABLE.columns(model.names)[row]


def a_machine(scale: float = 1.0, benign: float = -1.0) -> FrozenSvm:
    """Two support vectors, one a class, in two features."""
    return FrozenSvm(
        names=("first", "second"),
        mean=np.array([1.0, 2.0]),
        scale=np.array([scale, 1.0]),
        support=np.array([[1.0, 0.0], [-1.0, 0.0]]),
        dual=np.array([1.0, benign]),
        intercept=0.1,
        gamma=0.5,
        calibration=Sigmoid(1.5, -0.2),
    )


@by_model
def test_the_shares_sum_to_the_change_of_the_log_odds(model: TrainedModel) -> None:
    for row in range(0, len(TABLE.ids), 7):
        values = values_of(model.frozen, row)
        ends = np.stack([model.frozen.reference, values])
        before, after = model.frozen.logit(ends)
        shares = attribute(model.frozen, values)
        assert shares.shape == values.shape
        assert shares.sum() == pytest.approx(after - before, abs=TOLERANCE)


@by_model
def test_the_gradient_is_that_of_the_log_odds(model: TrainedModel) -> None:
    values = values_of(model.frozen, 3)
    step = 1e-5 * np.maximum(1, np.abs(values))
    nudged = [
        (model.frozen.logit((values + shift)[None])[0], model.frozen.logit((values - shift)[None]))
        for shift in np.diag(step)
    ]
    numeric = [(up - down[0]) / (2 * own) for (up, down), own in zip(nudged, step, strict=True)]
    np.testing.assert_allclose(gradient(model.frozen, values), numeric, rtol=1e-4, atol=1e-7)


@by_model
def test_an_average_case_has_nothing_to_share_out(model: TrainedModel) -> None:
    shares = attribute(model.frozen, model.frozen.reference)
    np.testing.assert_array_equal(shares, np.zeros(len(model.frozen.names)))


def test_a_feature_at_its_mean_has_no_share_and_the_other_has_all() -> None:
    machine = a_machine()
    values = np.array([2.5, 2.0])
    before, after = machine.logit(np.stack([machine.mean, values]))
    first, second = attribute(machine, values)
    assert second == 0
    assert first == pytest.approx(after - before, abs=TOLERANCE)
    assert first > 0  # towards the malignant support vector


def test_two_features_that_do_the_same_share_alike() -> None:
    machine = FrozenSvm(
        names=("one", "other"),
        mean=np.zeros(2),
        scale=np.ones(2),
        support=np.array([[1.0, 1.0], [-1.0, -1.0]]),
        dual=np.array([1.0, -1.0]),
        intercept=0.0,
        gamma=0.5,
        calibration=Sigmoid(1.0, 0.0),
    )
    one, other = attribute(machine, np.array([0.7, 0.7]))
    assert one == pytest.approx(other, rel=1e-9)


def test_the_unit_of_a_feature_does_not_matter() -> None:
    machine, in_other_units = a_machine(), a_machine(scale=10.0)
    shares = attribute(machine, np.array([2.5, 3.0]))
    other = attribute(in_other_units, np.array([16.0, 3.0]))
    np.testing.assert_allclose(shares, other, rtol=1e-9)


@by_model
def test_the_most_influential_come_first(model: TrainedModel) -> None:
    values = values_of(model.frozen, 3)
    named = dict(zip(model.frozen.names, attribute(model.frozen, values).tolist(), strict=True))
    ranked = most_influential(model.frozen, values, count=3)
    assert ranked == tuple(sorted(named.items(), key=lambda item: (-abs(item[1]), item[0]))[:3])


def test_a_score_that_cannot_be_shared_out_is_named() -> None:
    far = np.array([1e7, 2.0])  # the model is flat all the way but for the first millionth
    with pytest.raises(AttributionError, match="shared out"):
        attribute(a_machine(benign=-0.5), far)
