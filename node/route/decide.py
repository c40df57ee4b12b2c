"""Two questions, each answered by the first rule that matches and says something about it.

Before an assessment: is it skipped, which bundle, how urgent. After it: which destinations and
companions. Pure, and the same for a running node and for `crdl rules test`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.jobs.edge import Routing, RoutingFacts
from node.route.fields import Moment
from node.route.rules import Rule


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What became of one rule, for a person.

    Attributes:
        fires: It is the one that decides.
        why: One line.
    """

    rule: Rule
    fires: bool
    why: str


def decide(rules: Sequence[Rule], facts: RoutingFacts, moment: Moment) -> Routing:
    """Return what the first matching rule decides; an empty routing where none does."""
    for rule in rules:
        if rule.action.answers(moment) and not rule.unmet(facts):
            return routing(rule, moment)
    return Routing()


def routing(rule: Rule, moment: Moment) -> Routing:
    """Return what a rule decides at a moment, with why it fired."""
    action = rule.action
    because = tuple(str(one) for one in rule.conditions) or ("it has no conditions",)
    if moment == "before":
        return Routing(
            rule.name, because, skip=action.skip, bundle=action.bundle, priority=action.priority
        )
    return Routing(
        rule.name, because, destinations=action.destinations, companions=action.companions
    )


def explain(rules: Sequence[Rule], facts: RoutingFacts, moment: Moment) -> list[RuleVerdict]:
    """Say of every rule, in their order, whether it fires at a moment and why or why not."""
    verdicts: list[RuleVerdict] = []
    decided = ""
    for rule in rules:
        unmet = rule.unmet(facts)
        if not rule.action.answers(moment):
            why = f"it says nothing about what is decided {moment} an assessment"
        elif moment == "after" and not facts.assessed and rule.needs_result():
            why = "it depends on the result: add --assess"
        elif unmet:
            why = "not met: " + "; ".join(_unmet(one, facts) for one in unmet)
        elif decided:
            why = f"it matches too, but {decided!r} comes first"
        else:
            decided = rule.name
            why = "; ".join(routing(rule, moment).because)
        verdicts.append(RuleVerdict(rule, decided == rule.name and not unmet, why))
    return verdicts


def _unmet(condition: object, facts: RoutingFacts) -> str:
    name = str(condition).partition(" ")[0]
    values = facts.values.get(name, ())
    told = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return f"{condition} (it is {told or 'absent'})"
