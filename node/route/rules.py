"""Rules as values: conditions, actions, and the sentences that explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from node.jobs.edge import RoutingFacts
from node.route.fields import Field, Moment


@dataclass(frozen=True, slots=True)
class Condition:
    """One demand of a rule; any value of the field may meet it.

    Attributes:
        patterns: For text, in lower case; "" asks for an absent value.
        minimum: For numbers, included; None is no bound.
        maximum: Likewise.
        flag: For flags.
    """

    field: Field
    patterns: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    flag: bool | None = None

    def met_by(self, values: Sequence[str | float | bool]) -> bool:
        """Tell whether a value meets it; what has no value meets only the pattern ""."""
        if self.field.kind == "text":
            told = [str(value).strip().lower() for value in values] or [""]
            return any(fnmatchcase(one, pattern) for one in told for pattern in self.patterns)
        if self.field.kind == "flag":
            return bool(any(values)) is self.flag
        return any(self._within(float(value)) for value in values)

    def __str__(self) -> str:
        if self.field.kind == "text":
            return f"{self.field.name} is {' or '.join(repr(one) for one in self.patterns)}"
        if self.field.kind == "flag":
            return f"{self.field.name} is {str(self.flag).lower()}"
        low = "" if self.minimum is None else f" at least {self.minimum:g}"
        high = "" if self.maximum is None else f" at most {self.maximum:g}"
        return f"{self.field.name} is{low}{' and' if low and high else ''}{high}"

    def _within(self, value: float) -> bool:
        above = self.minimum is None or value >= self.minimum
        return above and (self.maximum is None or value <= self.maximum)


@dataclass(frozen=True, slots=True)
class Action:
    """What a rule decides; empty and None decide nothing.

    Attributes:
        skip: Why the case is not assessed at all.
        bundle: Name or folder of the bundle that answers.
        priority: `stat`, `high`, `routine` or `low`.
        destinations: Who gets the report; () is nobody.
        companions: What goes with the SR, whatever the destinations want.
    """

    skip: str = ""
    bundle: str = ""
    priority: str = ""
    destinations: tuple[str, ...] | None = None
    companions: tuple[str, ...] | None = None

    def answers(self, moment: Moment) -> bool:
        """Tell whether it decides anything before, or after, an assessment."""
        if moment == "before":
            return bool(self.skip or self.bundle or self.priority)
        return self.destinations is not None or self.companions is not None

    def told(self, moment: Moment) -> dict[str, object]:
        """Return what it decides then, by name."""
        if moment == "before":
            values = {"skip": self.skip, "bundle": self.bundle, "priority": self.priority}
            return {name: value for name, value in values.items() if value}
        lists = {"destinations": self.destinations, "companions": self.companions}
        return {name: list(value) for name, value in lists.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: all its conditions have to be met; without any it always is.

    Attributes:
        line: Of the file, where it begins, from 1.
    """

    name: str
    line: int
    conditions: tuple[Condition, ...]
    action: Action

    def unmet(self, facts: RoutingFacts) -> tuple[Condition, ...]:
        """Return the conditions that the facts do not meet."""
        values: Mapping[str, Sequence[str | float | bool]] = facts.values
        return tuple(
            one for one in self.conditions if not one.met_by(values.get(one.field.name, ()))
        )

    def needs_result(self) -> bool:
        """Tell whether it asks for something that only an assessment tells."""
        return any(one.field.known == "after" for one in self.conditions)
