"""Reading a file of rules: every mistake is told with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, get_args

from node.config import Companion
from node.errors import ConfigurationError
from node.jobs.priority import PRIORITIES
from node.route.fields import Field, fields
from node.route.rules import Action, Condition, Rule

_HEAD: Final = re.compile(r"^\s*\[\[\s*rule\s*\]\]")
_KEYS: Final = frozenset({"name", "when", "then"})
_ACTIONS: Final = frozenset(Action.__dataclass_fields__)
_BEFORE: Final = ("skip", "bundle", "priority")


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules of a file, in its order, and the SHA-256 of the file."""

    rules: tuple[Rule, ...] = ()
    sha256: str = ""

    @property
    def companions(self) -> frozenset[str]:
        """Every companion that some rule wants."""
        return frozenset().union(*(rule.action.companions or () for rule in self.rules))


def load_rules(path: Path, destinations: Collection[str]) -> Rulebook:
    """Read and check a file of rules.

    Args:
        path: TOML with one `[[rule]]` a rule: `name`, `when` and `then`.
        destinations: Names that a rule may send to.

    Raises:
        ConfigurationError: With file and line, if a rule cannot be what was meant.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8")
        table = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"rules {path}: {error}") from error
    reader = _Reader(path, text.splitlines(), frozenset(destinations))
    if foreign := table.keys() - {"rule"}:
        name = min(foreign)
        raise reader.fault(reader.find(name, 0, None), f"{name!r} is no [[rule]]")
    rows = table.get("rule", [])
    if not isinstance(rows, list):
        raise reader.fault(1, "write [[rule]], in two brackets")
    rules = tuple(reader.rule(number, row) for number, row in enumerate(rows))
    names = [rule.name for rule in rules]
    for rule in rules:
        if names.count(rule.name) > 1 and names.index(rule.name) != rules.index(rule):
            raise reader.fault(rule.line, f"a second rule has the name {rule.name!r}")
    return Rulebook(rules, sha256(data).hexdigest())


class _Reader:
    """One file while it is read; knows its lines."""

    def __init__(self, path: Path, lines: list[str], destinations: frozenset[str]) -> None:
        self._path = path
        self._lines = lines
        self._destinations = destinations
        self._heads = [number for number, line in enumerate(lines) if _HEAD.match(line)]

    def fault(self, line: int, what: str) -> ConfigurationError:
        """Return the error that names file and line."""
        return ConfigurationError(f"rules {self._path}, line {line}: {what}")

    def find(self, word: str, start: int, end: int | None) -> int:
        """Return the line, from 1, where a key stands; the first one where it is not found."""
        key = re.compile(rf"(?<![\w-])[\"']?{re.escape(word)}[\"']?(?![\w-])")
        for number, line in enumerate(self._lines[start:end], start):
            if key.search(line.partition("#")[0]):
                return number + 1
        return start + 1

    def rule(self, number: int, row: Mapping[str, Any]) -> Rule:
        """Read one rule."""
        start = self._heads[number] if number < len(self._heads) else 0
        end = self._heads[number + 1] if number + 1 < len(self._heads) else None

        def fault(word: str, what: str) -> ConfigurationError:
            return self.fault(self.find(word, start, end), what)

        for key in row:
            if key not in _KEYS:
                raise fault(key, f"a rule has name, when and then, not {key!r}")
        name, when, then = row.get("name"), row.get("when", {}), row.get("then")
        if not isinstance(name, str) or not name.strip():
            raise fault("name", "the rule has no name")
        if not isinstance(when, dict):
            raise fault("when", "when is a table of conditions")
        if not isinstance(then, dict) or not then:
            raise fault("then", f"rule {name!r} decides nothing: give then.skip, then.bundle, ...")
        conditions = tuple(self._condition(key, value, fault) for key, value in when.items())
        rule = Rule(name.strip(), start + 1, conditions, self._action(then, fault))
        if rule.needs_result():
            for key in _BEFORE:
                if key in then:
                    late = next(c.field.name for c in conditions if c.field.known == "after")
                    what = f"{key} is decided before {late} is known: make two rules of it"
                    raise fault(key, what)
        return rule

    def _condition(self, key: str, value: Any, fault: Any) -> Condition:  # noqa: ANN401 - TOML
        field = fields().get(key)
        if field is None:
            raise fault(key, f"{key!r} is nothing to ask for; there are {', '.join(fields())}")
        if field.kind == "text":
            return Condition(field, patterns=_patterns(field, value, fault))
        if field.kind == "flag":
            if not isinstance(value, bool):
                raise fault(key, f"{key} is true or false")
            return Condition(field, flag=value)
        if not isinstance(value, dict) or not value or value.keys() - {"min", "max"}:
            raise fault(key, f"{key} is a range such as {{ min = 1, max = 2 }}")
        bounds = [value.get("min"), value.get("max")]
        if any(isinstance(b, bool) or not isinstance(b, int | float | None) for b in bounds):
            raise fault(key, f"the bounds of {key} are numbers")
        low, high = bounds
        if low is not None and high is not None and low > high:
            raise fault(key, f"the range of {key} is empty: {low:g} is above {high:g}")
        return Condition(field, minimum=low, maximum=high)

    def _action(self, then: Mapping[str, Any], fault: Any) -> Action:  # noqa: ANN401 - a function
        for key, value in then.items():
            if key not in _ACTIONS:
                raise fault(key, f"{key!r} is no action; there are {', '.join(sorted(_ACTIONS))}")
            listed = key in {"destinations", "companions"}
            if listed and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
                raise fault(key, f"{key} is a list of names")
            if not listed and (not isinstance(value, str) or not value):
                raise fault(key, f"{key} is a word or sentence in quotes")
        if (priority := then.get("priority")) not in {None, *PRIORITIES}:
            raise fault("priority", f"priority {priority!r} is none of {', '.join(PRIORITIES)}")
        for key, known in (
            ("destinations", self._destinations),
            ("companions", frozenset(get_args(Companion))),
        ):
            for one in then.get(key, ()):
                if one not in known:
                    there = ", ".join(sorted(known)) or "none"
                    raise fault(key, f"there is no {key[:-1]} {one!r}; there are: {there}")
        if "skip" in then and len(then) > 1:
            raise fault("skip", "what is skipped has no other action")
        lists = {key: tuple(then[key]) for key in ("destinations", "companions") if key in then}
        words = {key: then.get(key, "") for key in _BEFORE}
        return Action(
            words["skip"],
            words["bundle"],
            words["priority"],
            lists.get("destinations"),
            lists.get("companions"),
        )


def _patterns(field: Field, value: Any, fault: Any) -> tuple[str, ...]:  # noqa: ANN401 - TOML
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(v, str) for v in found):
        raise fault(field.name, f"{field.name} is a pattern or a list of patterns, in quotes")
    return tuple(one.strip().lower() for one in found)
