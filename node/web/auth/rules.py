"""The routes of an application as the gate sees them: path, methods, declared need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from node.web.auth.files import PublicFiles
from node.web.auth.needs import Need


@dataclass(frozen=True, slots=True)
class Rule:
    """A route; `need` is None where it declares none.

    `methods` is empty for a mounted application, which takes any. `files`: it only gives out our
    own script and style files.
    """

    path: str
    methods: frozenset[str]
    need: Need | None
    pattern: Any
    files: bool = False

    def covers(self, path: str, method: str) -> bool:
        """Say whether a request is for this route."""
        return (not self.methods or method in self.methods) and bool(self.pattern.match(path))

    def named(self, path: str) -> dict[str, str]:
        """Return the values of the parameters in a path that the route covers."""
        found = self.pattern.match(path)
        return {} if found is None else dict(found.groupdict())


def rules(app: FastAPI) -> tuple[Rule, ...]:
    """Return the rules of every route of an application, in the order in which it matches."""
    return tuple(
        Rule(
            str(context.path),
            frozenset(context.methods or ()),
            _need(context),
            context.path_regex,
            isinstance(getattr(context, "app", None), PublicFiles),
        )
        for context in iter_route_contexts(app.router.routes)
    )


def _need(context: Any) -> Need | None:  # noqa: ANN401 - a route of any kind
    declared = getattr(getattr(context, "app", None), "need", None)  # a mounted application's
    dependant = getattr(context, "dependant", None)
    found = {declared} if isinstance(declared, Need) else set()
    if dependant is not None:
        found.update(_needs_below(dependant))
    # Two different needs contradict each other: that is as good as none.
    return found.pop() if len(found) == 1 else None


def _needs_below(dependant: Dependant) -> Iterator[Need]:
    for one in dependant.dependencies:
        if isinstance(one.call, Need):
            yield one.call
        yield from _needs_below(one)
