"""The queueing simulation against what queueing theory says."""

from __future__ import annotations

import math
import random

import pytest

from node.bench.scale.simulation import DAY_S, Station, capacity_per_day, simulate

STUDIES = 60_000


def exponential(mean_s: float) -> list[float]:
    chance = random.Random(3)
    return [chance.expovariate(1 / mean_s) for _ in range(20_000)]


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_server_waits_as_an_m_m_1_queue_does(load: float) -> None:
    station = Station("only", 1, exponential(1.0))
    per_s = load / station.mean_s
    outcome = simulate([station], per_s * DAY_S, STUDIES)
    # The time in an M/M/1 system is exponential with mean 1 / (mu - lambda).
    mean = 1 / (1 / station.mean_s - per_s)
    assert outcome.median_s == pytest.approx(mean * math.log(2), rel=0.12)
    assert outcome.p95_s == pytest.approx(mean * math.log(20), rel=0.12)
    assert outcome.busy["only"] == pytest.approx(load, rel=0.03)


def test_the_slowest_station_is_named_and_limits_the_day() -> None:
    stations = [Station("fast", 4, [0.1]), Station("slow", 2, [1.0]), Station("last", 1, [0.2])]
    assert capacity_per_day(stations) == pytest.approx(2 * DAY_S)
    within = simulate(stations, 1.5 * DAY_S, 20_000)
    beyond = simulate(stations, 3 * DAY_S, 2_000)
    assert (within.bottleneck, within.kept_up) == ("slow", True)
    assert (beyond.bottleneck, beyond.kept_up) == ("slow", False)
    assert beyond.p95_s > 10 * within.p95_s


def test_with_servers_enough_nobody_waits() -> None:
    outcome = simulate([Station("a", 50, [0.2]), Station("b", 50, [0.3])], 10 * DAY_S, 5_000)
    assert outcome.median_s == outcome.p95_s == pytest.approx(0.5)
