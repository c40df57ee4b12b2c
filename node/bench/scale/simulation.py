"""A node of any size as a network of queues, studied by discrete events.

Stations in a row with so many servers each; the database is one of them, whose servers are the
transactions that it does at once. Arrivals are a Poisson process.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np

DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Station:
    """One kind of process.

    Attributes:
        servers: Studies that it serves at once.
        service_s: Measured service times of one study, seconds, drawn from at random.
    """

    name: str
    servers: int
    service_s: Sequence[float]

    @property
    def mean_s(self) -> float:
        """Mean service time."""
        return float(np.mean(self.service_s))

    def load(self, per_s: float) -> float:
        """Return the share of its servers that so many studies a second keep busy."""
        return per_s * self.mean_s / self.servers


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a simulated day's traffic.

    Attributes:
        busy: Share of each station's servers that was busy.
        bottleneck: The station with the highest share.
        kept_up: No station was asked for more than it can do: its queue does not grow for ever.
    """

    studies: int
    per_day: float
    median_s: float
    p95_s: float
    busy: Mapping[str, float]
    bottleneck: str
    kept_up: bool


@dataclass
class _Queue:
    station: Station
    free: int
    waiting: deque[int] = field(default_factory=deque)
    worked_s: float = 0.0


def simulate(stations: Sequence[Station], per_day: float, studies: int, seed: int = 1) -> Outcome:
    """Send studies through the stations, one after the other.

    Args:
        stations: In the order of the flow.
        per_day: Mean arrivals in a day.
        studies: How many to follow.
        seed: Of arrivals and service times.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    queues = [_Queue(station, station.servers) for station in stations]
    events: list[tuple[float, int, int, int]] = []  # time, order, study, station it leaves
    order = count()
    now, arrived = 0.0, []
    for study in range(studies):
        now += chance.expovariate(per_day / DAY_S)
        arrived.append(now)
        heapq.heappush(events, (now, next(order), study, -1))
    left = [0.0] * studies
    end = 0.0

    def begin(place: int, study: int, at: float) -> None:
        queue = queues[place]
        queue.free -= 1
        service = chance.choice(queue.station.service_s)
        queue.worked_s += service
        heapq.heappush(events, (at + service, next(order), study, place))

    while events:
        at, _, study, place = heapq.heappop(events)
        end = at
        if place >= 0:
            queue = queues[place]
            queue.free += 1
            if queue.waiting:
                begin(place, queue.waiting.popleft(), at)
        following = place + 1
        if following == len(queues):
            left[study] = at
        elif queues[following].free:
            begin(following, study, at)
        else:
            queues[following].waiting.append(study)
    times = np.array(left) - np.array(arrived)
    busy = {
        queue.station.name: round(queue.worked_s / (end * queue.station.servers), 3)
        for queue in queues
    }
    loads = {one.name: one.load(per_day / DAY_S) for one in stations}
    return Outcome(
        studies=studies,
        per_day=per_day,
        median_s=round(float(np.median(times)), 3),
        p95_s=round(float(np.quantile(times, 0.95)), 3),
        busy=busy,
        bottleneck=max(loads, key=lambda name: loads[name]),
        kept_up=max(loads.values()) < 1,
    )


def capacity_per_day(stations: Sequence[Station]) -> float:
    """Return how many studies a day the slowest station can do."""
    return min(one.servers / one.mean_s for one in stations) * DAY_S
