"""How simulated readers call malignancy, alone and with the model's probability beside them.

For the reader study of the paper (2.8): reader 1 has 20 years of experience, reader 2 has 5.
"""

import numpy as np
from scipy.special import expit, logit

from models.simulation.case import SimulatedCase
from models.simulation.settings import SimulationError, design

CALLS = 3
"""Stream of randomness of the calls, apart from the case's own."""


def unaided_suspicion(case: SimulatedCase, reader: int) -> float:
    """The reader's own probability of malignancy, from the semantic features it read.

    Args:
        case: the case.
        reader: 1 or 2.

    Returns:
        Probability 0-1; at or above 0.5 the reader calls the tumour malignant.

    Raises:
        SimulationError: if there is no such reader.
    """
    readings = {reading.reader: reading.semantics for reading in case.readings}
    if reader not in readings:
        raise SimulationError(f"there are readers {sorted(readings)}, not {reader}")
    read, rules = readings[reader], design("diagnosis")
    weight = rules["log_odds"]
    rng = np.random.default_rng([case.seed, case.site, case.index, CALLS, reader])
    log_odds = (
        weight["intercept"]
        + weight["diameter_30mm"] * min(read.diameter_mm / 30, 2.0)
        + weight["flow"] * read.flow
        + weight["irregular"] * read.irregular
        + weight["unclear"] * read.unclear
        + weight["uneven"] * read.uneven
        + rules["call_noise"][reader - 1] * rng.standard_normal()
    )
    return float(expit(log_odds))


def aided_suspicion(case: SimulatedCase, reader: int, probability: float) -> float:
    """The reader's probability of malignancy after seeing the model's.

    Args:
        case: the case.
        reader: 1 or 2; the less experienced one trusts the model more.
        probability: the model's probability of malignancy.

    Returns:
        Probability 0-1, a weighted mean of the two log-odds.

    Raises:
        SimulationError: if there is no such reader or `probability` is not within 0-1.
    """
    return with_model(unaided_suspicion(case, reader), reader, probability)


def with_model(suspicion: float, reader: int, probability: float, threshold: float = 0.5) -> float:
    """What a reader thinks who had a suspicion and then sees the model.

    Args:
        suspicion: the reader's own probability of malignancy.
        reader: 1 or 2.
        probability: the model's probability of malignancy.
        threshold: the model's operating point, which the reader sees beside the probability: a
            model that is at its threshold moves nobody across 0.5.

    Returns:
        Probability 0-1, a weighted mean of the two log-odds.

    Raises:
        SimulationError: if there is no such reader, or a number is no probability.
    """
    trust = design("diagnosis")["trust_in_model"]
    if not 1 <= reader <= len(trust):
        raise SimulationError(f"there are readers 1 to {len(trust)}, not {reader}")
    if not 0 <= probability <= 1:
        raise SimulationError(f"a probability lies within 0 and 1, not {probability}")
    if not (0 <= suspicion <= 1 and 0 < threshold < 1):
        raise SimulationError("a suspicion and a threshold lie within 0 and 1")
    own = logit(np.clip(suspicion, 1e-6, 1 - 1e-6))
    model = logit(np.clip(probability, 0.001, 0.999)) - logit(threshold)
    weight = trust[reader - 1]
    return float(expit((1 - weight) * own + weight * model))
