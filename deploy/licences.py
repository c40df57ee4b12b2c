"""What the software is made of, and under which licences: `python -m deploy.licences`.

The distributions that a node needs to run are those that `crdl-node` requires, and what these
require in turn. Each must be under a licence of `licences.toml`, or be named there with a reason.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

POLICY = Path(__file__).with_name("licences.toml")
ROOT = "crdl-node"
_CLASSIFIER = "License :: OSI Approved :: "


@dataclass(frozen=True, slots=True)
class Component:
    """One distribution.

    Attributes:
        name: Canonical.
        version: Installed.
        licence: As its metadata says: SPDX expression, classifier, or the first line of a text.
        verdict: `allowed`, `excepted` or `not allowed`.
        why: The reason of an exception.
    """

    name: str
    version: str
    licence: str
    verdict: str
    why: str = ""


def runtime() -> Iterator[Distribution]:
    """Yield every distribution that a running node may import, the node itself left out."""
    waiting, seen = [ROOT], {ROOT}
    while waiting:
        found = distribution(waiting.pop())
        if canonicalize_name(found.name) != ROOT:
            yield found
        for text in found.requires or ():
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            name = canonicalize_name(requirement.name)
            if name in seen:
                continue
            seen.add(name)
            try:
                distribution(name)
            except PackageNotFoundError:
                continue  # of another platform
            waiting.append(name)


def licence_of(found: Distribution) -> str:
    """Return the licence that a distribution's metadata names, "" if it names none."""
    expression = found.metadata.json.get("license_expression")
    if expression:
        return str(expression)
    classified = [
        text.rsplit(" :: ", 1)[-1]
        for text in found.metadata.get_all("Classifier", [])
        if text.startswith("License :: ") and text != _CLASSIFIER.rstrip(" :")
    ]
    if classified:
        return " AND ".join(sorted(set(classified)))
    lines = str(found.metadata.json.get("license", "")).strip().splitlines()
    return lines[0].strip() if lines else ""


def components() -> tuple[Component, ...]:
    """Judge every distribution by the policy, in the order of their names."""
    policy = tomllib.loads(POLICY.read_text(encoding="utf-8"))
    allowed = {name.casefold() for name in policy["allowed"]}
    exceptions = {canonicalize_name(one["name"]): one["why"] for one in policy["exception"]}
    judged = []
    for found in runtime():
        name, licence = canonicalize_name(found.name), licence_of(found)
        if name in exceptions:
            verdict = Component(name, found.version, licence, "excepted", exceptions[name])
        elif licence and _admits(licence, allowed):
            verdict = Component(name, found.version, licence, "allowed")
        else:
            verdict = Component(name, found.version, licence or "not named", "not allowed")
        judged.append(verdict)
    return tuple(sorted(judged, key=lambda one: one.name))


def _admits(licence: str, allowed: set[str]) -> bool:
    """Judge an expression: of alternatives one is enough, of parts every one is needed."""
    return all(
        any(_named(choice, allowed) for choice in re.split(r"\s+OR\s+", part))
        for part in re.split(r"\s+AND\s+", licence)
    )


def _named(name: str, allowed: set[str]) -> bool:
    """Older names hold brackets of their own; those of an expression stand around."""
    return any(one.strip().casefold() in allowed for one in (name, name.strip(" ()")))


def main() -> int:
    """Print the list; exit status 1 if a licence is not allowed."""
    parser = argparse.ArgumentParser(prog="python -m deploy.licences", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    found = components()
    if arguments.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        for one in found:
            print(f"{one.name:28} {one.version:16} {one.verdict:12} {one.licence} {one.why}")
    wrong = [one.name for one in found if one.verdict == "not allowed"]
    if wrong:
        print(f"not in {POLICY.name}: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
