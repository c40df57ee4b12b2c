"""The hazard list as a table: `python -m deploy.hazards > deploy/HAZARDS.md`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

SOURCE = Path(__file__).with_name("HAZARDS.toml")
Severity = Literal["negligible", "minor", "serious", "critical"]
Probability = Literal["incredible", "improbable", "remote", "occasional"]
_SEVERITIES, _PROBABILITIES = get_args(Severity), get_args(Probability)
_WITH_THE_SITE, _TOO_MUCH = 4, 6  # ranks from which a risk needs the site, and is not accepted


@dataclass(frozen=True, slots=True)
class Hazard:
    """One row in the manner of ISO 14971.

    Attributes:
        id: Stays for ever.
        hazard: What may go wrong.
        cause: How it comes about.
        harm: To whom, and how.
        severity: Of the harm.
        before: Probability of the harm without the control.
        after: With it.
        control: What the software does against it.
        tests: `file::test` of what proves the control.
        residual: What a site has to do itself, "" for nothing.
    """

    id: str
    hazard: str
    cause: str
    harm: str
    severity: Severity
    before: Probability
    after: Probability
    control: str
    tests: tuple[str, ...]
    residual: str = ""

    def __post_init__(self) -> None:
        if self.severity not in _SEVERITIES or {self.before, self.after} - set(_PROBABILITIES):
            raise ValueError(f"{self.id}: no such severity or probability")
        if not self.tests:
            raise ValueError(f"{self.id}: a control that no test proves is none")
        if _PROBABILITIES.index(self.after) > _PROBABILITIES.index(self.before):
            raise ValueError(f"{self.id}: a control makes nothing more probable")

    @property
    def risk(self) -> int:
        """Rank of the residual risk: severity and probability, each counted from 0."""
        return _SEVERITIES.index(self.severity) + _PROBABILITIES.index(self.after)

    @property
    def verdict(self) -> str:
        """Whether the residual risk is accepted for research use."""
        if self.risk < _WITH_THE_SITE:
            return "accepted"
        if self.risk < _TOO_MUCH and self.residual:
            return "accepted with what is left to the site"
        return "not accepted"


def hazards() -> tuple[Hazard, ...]:
    """Read the list, in its order."""
    rows = tomllib.loads(SOURCE.read_text(encoding="utf-8"))["hazard"]
    return tuple(Hazard(**row | {"tests": tuple(row["tests"])}) for row in rows)


def render() -> str:
    """Return the list as Markdown."""
    lines = [
        "# Hazards",
        "",
        "In the manner of ISO 14971. Rendered by `python -m deploy.hazards` from HAZARDS.toml; a",
        "test checks that every named test exists. The node is for research use and no medical",
        "device: this list is no risk management file, and a site that uses it clinically has to",
        "make one.",
        "",
    ]
    for one in hazards():
        lines += [
            f"## {one.id}: {one.hazard}",
            "",
            f"- Cause: {one.cause}",
            f"- Harm: {one.harm}",
            f"- Severity {one.severity}; probability {one.before}, with the control {one.after}",
            f"- Residual risk: {one.verdict}",
            f"- Control: {one.control}",
            *(f"- Proof: `{name}`" for name in one.tests),
            *([f"- Left to the site: {one.residual}"] if one.residual else []),
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(render(), end="")
