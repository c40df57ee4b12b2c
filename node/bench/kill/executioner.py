"""Carrying kills out side by side: one is on its way in each part of the flow, others at random."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.bench.kill.acts import Act
from node.bench.kill.site import Site

_COMES_BY_S: Final = 240.0
_PAUSE_S: Final = (10.0, 25.0)
_MISSES: Final = 200
_POLL_S: Final = 0.1
_DEAD_S: Final = (0.2, 4.0)


@dataclass(frozen=True, slots=True)
class Execution:
    """One kill; `kills` is 0 where nobody came by the boundary in time."""

    way: Act
    kills: int
    began: float
    ended: float


class Line:
    """Kills at the boundaries of one part of the flow, one after another.

    A worker that dies at each boundary in turn would cut one job off so often that the node rightly
    gives it up; so each line has one order out at a time.
    """

    def __init__(self, ways: Sequence[Act]) -> None:
        self._ways = list(ways)
        self._out: Act | None = None
        self._since = 0.0

    @property
    def done(self) -> bool:
        """Whether nobody is to die any more."""
        return self._out is None and not self._ways

    def give_up(self) -> None:
        """Send nobody out any more."""
        self._ways.clear()

    def recall(self, site: Site) -> None:
        """Take the order back while the node starts: a role that dies before it is ready ends it.

        Whoever has died meanwhile is noted by the next step.
        """
        if self._out is not None and site.disarm(self._out.boundary):
            self._ways.append(self._out)
            self._out = None

    def step(self, site: Site) -> Execution | None:
        """Send the next order out, or see what became of the one that is."""
        now = time.monotonic()
        if self._out is None:
            if self._ways:
                self._out, self._since = self._ways.pop(), now
                site.arm(self._out.boundary, self._out.victim)
            return None
        if site.armed(self._out.boundary) and now - self._since < _COMES_BY_S:
            return None
        way, self._out = self._out, None
        return Execution(way, int(not site.disarm(way.boundary)), self._since, now)


def executions(
    site: Site, ways: Sequence[Act], rounds: int, chance: random.Random, seconds: float
) -> Iterator[Execution]:
    """Carry ways out and bring back what has died; yield each as it is done.

    Args:
        site: Whose processes die.
        ways: How.
        rounds: How often each is carried out; see `Act.times`.
        chance: Decides the order, and the moments of random kills.
        seconds: After which no more is begun.
    """
    end = time.monotonic() + seconds
    mixed = [way for way in ways for _ in range(way.times(rounds))]
    chance.shuffle(mixed)
    names = dict.fromkeys(way.line for way in mixed)
    lines = [Line([w for w in mixed if w.line == name]) for name in names if name != "random"]
    at_random = [way for way in mixed if not way.boundary]
    next_at, misses = time.monotonic(), 0
    while at_random or not all(line.done for line in lines):
        for line in lines:
            done = line.step(site)
            if done is not None:
                yield done
        if at_random and time.monotonic() >= next_at:
            way, began = at_random.pop(), time.monotonic()
            kills = site.kill(way.victim)
            if not kills and misses < _MISSES:  # it is on its way back from its last death
                misses += 1
                at_random.insert(0, way)
            else:
                time.sleep(chance.uniform(*_DEAD_S) if kills else 0.0)
                yield Execution(way, kills, began, time.monotonic())
            next_at = time.monotonic() + chance.uniform(*_PAUSE_S)
        if time.monotonic() > end:
            at_random.clear()
            for line in lines:
                line.recall(site)
                line.give_up()
        if site.tree_is_dead:
            for line in lines:
                line.recall(site)
        site.bring_back()
        time.sleep(_POLL_S)
    site.heal()
