"""The configured rules as the stage that jobs ask, and as a person tries them on files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ModelsError
from node.config import Settings
from node.errors import ConfigurationError, InputError
from node.jobs.edge import Routing, RoutingFacts
from node.jobs.pairing_question import SEGMENTATIONS
from node.jobs.routing import header_facts, with_results
from node.jobs.stages import StoredInstance
from node.route.decide import RuleVerdict, decide, explain
from node.route.fields import Moment
from node.route.load import Rulebook, load_rules

if TYPE_CHECKING:
    from node.pipeline.assess import Pipeline

_BOTH: tuple[Moment, ...] = ("before", "after")


@dataclass(frozen=True, slots=True)
class RuleTest:
    """What the rules say about one SEG: a verdict a rule, before and after the assessment."""

    seg: Path
    facts: RoutingFacts
    before: tuple[RuleVerdict, ...]
    after: tuple[RuleVerdict, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "seg": str(self.seg),
            "facts": {name: list(told) for name, told in self.facts.values.items()},
            **{moment: [_plain(one, moment) for one in getattr(self, moment)] for moment in _BOTH},
        }


def _plain(verdict: RuleVerdict, moment: Moment) -> dict[str, Any]:
    rule = verdict.rule
    decides = rule.action.told(moment)
    return {
        "rule": rule.name,
        "line": rule.line,
        "fires": verdict.fires,
        "why": verdict.why,
        "decides": decides,
    }


def rulebook(settings: Settings) -> Rulebook:
    """Return the configured rules; none without a file.

    Raises:
        ConfigurationError: With file and line, where a rule is wrong.
    """
    if settings.rules.file is None:
        return Rulebook()
    names = tuple(destination.name for destination in settings.destination)
    return _load(settings.rules.file, names)


@cache  # a process reads its rules once: they hold from one start to the next
def _load(path: Path, destinations: tuple[str, ...]) -> Rulebook:
    return load_rules(path, destinations)


def check_bundles(book: Rulebook, path: Path | None) -> None:
    """Let pass rules whose bundles load here.

    Raises:
        ConfigurationError: With the line of the rule whose bundle does not.
    """
    from models.bundle import Bundle  # noqa: PLC0415 - only where bundles are run

    for rule in book.rules:
        if not rule.action.bundle:
            continue
        try:
            Bundle.load(rule.action.bundle)
        except ModelsError as error:
            raise ConfigurationError(f"rules {path}, line {rule.line}: {error}") from error


def route_stage(settings: Settings) -> Callable[[RoutingFacts], Routing]:
    """Return what decides by the configured rules; the facts say before or after which moment."""
    book = rulebook(settings)

    def route(facts: RoutingFacts) -> Routing:
        decided = decide(book.rules, facts, "after" if facts.assessed else "before")
        return replace(decided, rules_sha256=book.sha256) if decided.rule else decided

    return route


def try_files(
    instances: Mapping[str, StoredInstance],
    settings: Settings,
    book: Rulebook,
    sender: str,
    load: Callable[[str], Pipeline] | None = None,
) -> list[RuleTest]:
    """Say of each SEG among the instances which rules fire and why; nothing is kept or sent.

    Args:
        instances: SEGs and the images that they lie on.
        settings: For pairing and gate.
        book: The rules.
        sender: `AE@address` that the files are said to come from.
        load: Loads the bundle that a rule names ("" is the serving one) and assesses with it;
            None leaves rules about results open.

    Raises:
        InputError: If there is no SEG, or one cannot be paired with the files.
    """
    from node.service.offline import pair_one  # noqa: PLC0415 - torch, only here

    segs = [one for one in instances.values() if one.header.sop_class_uid in SEGMENTATIONS]
    if not segs:
        raise InputError("there is no segmentation (SEG) among the files: no rule is asked")
    return [
        _try(seg, pair_one(seg, instances, settings), instances, book, sender, load) for seg in segs
    ]


def _try(
    seg: StoredInstance,
    cases: Sequence[Any],
    instances: Mapping[str, StoredInstance],
    book: Rulebook,
    sender: str,
    load: Callable[[str], Pipeline] | None,
) -> RuleTest:
    headers = {uid: one.header for uid, one in instances.items()}
    facts = header_facts(seg.header, cases, headers, [sender])
    before = explain(book.rules, facts, "before")
    chosen = decide(book.rules, facts, "before")
    if load is not None and not chosen.skip:
        results = load(chosen.bundle).assess(tuple(cases), instances)
        facts = with_results(facts, [result.finding.to_json() for result in results])
    after = [] if chosen.skip else explain(book.rules, facts, "after")
    return RuleTest(seg.path, facts, tuple(before), tuple(after))
