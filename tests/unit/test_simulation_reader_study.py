"""Simulated readers calling malignancy with and without the model."""

import dataclasses

import pytest
from scipy.special import logit

from models.simulation.case import SimulatedCase, simulate_case
from models.simulation.reader_study import aided_suspicion, unaided_suspicion
from models.simulation.settings import SimulationError


@pytest.fixture(scope="module")
def a_case() -> SimulatedCase:
    return simulate_case(1, 1)


def _with_read(case: SimulatedCase, **features: object) -> SimulatedCase:
    readings = tuple(
        dataclasses.replace(r, semantics=dataclasses.replace(r.semantics, **features))
        for r in case.readings
    )
    return dataclasses.replace(case, readings=readings)


def test_a_reader_is_more_suspicious_of_an_irregular_tumour(a_case: SimulatedCase) -> None:
    for reader in (1, 2):
        regular = unaided_suspicion(_with_read(a_case, irregular=False), reader)
        irregular = unaided_suspicion(_with_read(a_case, irregular=True), reader)
        assert 0 < regular < irregular < 1


def test_the_models_probability_moves_the_reader_towards_it(a_case: SimulatedCase) -> None:
    for reader in (1, 2):
        alone = unaided_suspicion(a_case, reader)
        assert aided_suspicion(a_case, reader, 0.99) > alone
        assert aided_suspicion(a_case, reader, 0.01) < alone


def test_a_model_that_agrees_changes_nothing(a_case: SimulatedCase) -> None:
    alone = unaided_suspicion(a_case, 2)
    assert aided_suspicion(a_case, 2, alone) == pytest.approx(alone)


def test_the_less_experienced_reader_trusts_the_model_more(a_case: SimulatedCase) -> None:
    shift = []
    for reader in (1, 2):
        low, high = (logit(aided_suspicion(a_case, reader, p)) for p in (0.1, 0.9))
        shift.append(high - low)
    assert shift[0] < shift[1]


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_what_is_no_probability_is_refused(a_case: SimulatedCase, probability: float) -> None:
    with pytest.raises(SimulationError, match="probability"):
        aided_suspicion(a_case, 1, probability)


def test_a_reader_who_is_not_there_is_refused(a_case: SimulatedCase) -> None:
    with pytest.raises(SimulationError, match="readers"):
        unaided_suspicion(a_case, 3)
