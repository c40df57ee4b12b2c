"""The table of semantic features: which concept and which value codes each one has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from sr_templates.codes import Code, code
from sr_templates.errors import TemplateError
from sr_templates.templates import Templates, current


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of features.toml; code fields name entries of codes.toml.

    `caliper` marks the length whose end points are drawn on the image.

    Raises:
        TemplateError: If the row does not hold together; it names row and key.
    """

    name: str
    label: str
    kind: Literal["number", "code"]
    concept: str
    not_assessed: str = ""
    derivation: str = ""
    unit: str = ""
    decimals: int = 1
    caliper: bool = False
    values: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("number", "code"):
            raise TemplateError(f"features.toml: {self.name} is neither number nor code")
        if self.kind == "number" and not self.unit:
            raise TemplateError(f"features.toml: {self.name} needs a unit")
        if self.kind == "code" and not (self.values and self.not_assessed):
            raise TemplateError(f"features.toml: {self.name} needs values and not_assessed")
        used = (self.concept, self.not_assessed, self.derivation, self.unit, *self.values.values())
        for name in filter(None, used):
            try:
                code(name)
            except TemplateError as error:
                raise TemplateError(f"features.toml: {self.name}: {error}") from error

    def answer(self, value: str | None) -> Code:
        """Return the code of a value, or that of "not assessed" for None.

        Raises:
            TemplateError: If features.toml does not know the value.
        """
        if value is None:
            return code(self.not_assessed)
        try:
            return code(self.values[value])
        except KeyError as error:
            raise TemplateError(f"features.toml: {self.name} has no value {value!r}") from error


def features() -> tuple[Feature, ...]:
    """Return the semantic features in the order of the report.

    Raises:
        TemplateError: If a row does not hold together.
    """
    return _features(current())


@cache
def _features(templates: Templates) -> tuple[Feature, ...]:
    return tuple(_feature(row) for row in templates.tables["features.toml"]["feature"])


def _feature(row: Mapping[str, Any]) -> Feature:
    try:
        return Feature(**row)
    except TypeError as error:
        raise TemplateError(f"features.toml: {row['name']}: {error}") from error
