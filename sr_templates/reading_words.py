"""Which feature a content item of somebody else's report speaks of, by readings.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from pydicom.sr._snomed_dict import mapping as _snomed  # PS3.16 Annex O; pydicom has no other door

from sr_templates.errors import TemplateError

_LEGACY_SCHEMES: Final = ("SRT", "SNM3", "99SDM")  # PS3.16 section 8.1: SNOMED RT under three names


@dataclass(frozen=True, slots=True)
class Classified:
    """A feature with two classes: the concepts that name it and the codes and texts of each."""

    name: str
    concepts: frozenset[str]
    words: frozenset[str]
    values: Mapping[str, str]
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Length:
    """A length: its concepts, the best first, and the derivations that mean the same."""

    name: str
    concepts: tuple[str, ...]
    words: frozenset[str]
    derivations: frozenset[str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All of readings.toml.

    Attributes:
        units: Millimetres in one of each UCUM unit.
        shortest: Millimetres.
        longest: Millimetres.
        statement: The final statement, malignant or benign.
        our_class: Our own class at the operating point.
        agreement: Codes that agree or disagree with prior findings.
    """

    units: Mapping[str, float]
    shortest: float
    longest: float
    lengths: tuple[Length, ...]
    classes: tuple[Classified, ...]
    statement: Classified
    our_class: Classified
    agreement: Mapping[str, bool]

    def millimetres(self, value: float, unit: str) -> float | None:
        """Return a length in millimetres, None where the unit is no length or it is no lesion's."""
        factor = self.units.get(unit)
        if factor is None or not self.shortest <= value * factor <= self.longest:
            return None
        return value * factor


@cache
def vocabulary() -> Vocabulary:
    """Read readings.toml.

    Raises:
        TemplateError: If it is not there or does not hold together.
    """
    try:
        text = (resources.files("sr_templates") / "readings.toml").read_text("utf-8")
        table = tomllib.loads(text)
        return Vocabulary(
            units=table["units"],
            shortest=table["limits"]["shortest"],
            longest=table["limits"]["longest"],
            lengths=tuple(
                Length(
                    name,
                    tuple(row["concepts"]),
                    frozenset(row["words"]),
                    frozenset(row["derivations"]),
                )
                for name, row in table["length"].items()
            ),
            classes=tuple(_classified(name, row) for name, row in table["class"].items()),
            statement=_classified("statement", table["statement"]),
            our_class=_classified("our class", table["our_class"]),
            agreement={
                code: word == "agrees" for code, word in table["agreement"]["values"].items()
            },
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise TemplateError(f"readings.toml: {error}") from error


def _classified(name: str, row: Mapping[str, Any]) -> Classified:
    return Classified(
        name=name,
        concepts=frozenset(row["concepts"]),
        words=frozenset(row.get("words", ())),
        values=row["values"],
        texts={text: value for value, texts in row.get("texts", {}).items() for text in texts},
    )


def canonical(scheme: str, value: str) -> str:
    """Return a code as `scheme:value`, SNOMED RT under its SNOMED CT successor."""
    if scheme in _LEGACY_SCHEMES:
        successor = _snomed["SRT"].get(value)
        return f"SCT:{successor}" if successor else f"SRT:{value}"
    return f"{scheme}:{value}"


def plain(text: str) -> str:
    """Return a text as it is compared: lower case, single spaces, no full stop at its end."""
    return " ".join(text.casefold().split()).rstrip(".")
