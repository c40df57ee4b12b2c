"""What the edge of the workflow is asked and answers: sources for images, rules for routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetchQuestion:
    """Which instances of a study a waiting job misses."""

    study_instance_uid: str
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FetchAnswer:
    """What became of asking one source; `failure` is "" where nothing was amiss."""

    source: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class RoutingFacts:
    """What routing rules look at: values by field name (node/route/fields.toml).

    Attributes:
        assessed: The results of an assessment are among them.
    """

    values: Mapping[str, tuple[str | float | bool, ...]]
    assessed: bool


@dataclass(frozen=True, slots=True)
class Routing:
    """What a rule decided; `rule` is "" where none fired.

    Attributes:
        because: The conditions that were met, in words.
        skip: Why the case is not assessed; "" if it is.
        bundle: Which bundle answers; "" is the one that serves.
        priority: "" is routine.
        destinations: Who gets the report; None is everybody.
        companions: What goes with it; None is what each destination wants.
        rules_sha256: Of the file of rules.
    """

    rule: str = ""
    because: tuple[str, ...] = ()
    skip: str = ""
    bundle: str = ""
    priority: str = ""
    destinations: tuple[str, ...] | None = None
    companions: tuple[str, ...] | None = None
    rules_sha256: str = ""


def no_rules(facts: RoutingFacts) -> Routing:
    """Decide nothing: there are no rules."""
    del facts
    return Routing()
