"""The codes of the report, from codes.toml and refusals.toml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sr_templates.errors import TemplateError
from sr_templates.templates import Templates, current

_MEANING_LENGTH: Final = 64  # LO (PS3.5 section 6.2)
_SCHEME_LENGTH: Final = 16  # SH


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 section 8.8).

    Raises:
        TemplateError: If a part is empty or longer than its value representation allows.
    """

    scheme: str
    value: str
    meaning: str

    def __post_init__(self) -> None:
        if not (self.scheme and self.value and self.meaning):
            raise TemplateError(f"a code needs scheme, value and meaning, got {self}")
        if len(self.scheme) > _SCHEME_LENGTH or len(self.meaning) > _MEANING_LENGTH:
            raise TemplateError(f"scheme or meaning is too long in {self}")


@dataclass(frozen=True, slots=True)
class CodingScheme:
    """An item of the Coding Scheme Identification Sequence (PS3.3 section C.12.1)."""

    designator: str
    uid: str
    name: str
    version: str
    responsible: str


def code(name: str) -> Code:
    """Return the code of that name in codes.toml.

    Raises:
        TemplateError: If there is none.
    """
    try:
        return codes(current())[name]
    except KeyError as error:
        raise TemplateError(f"codes.toml has no code {name!r}") from error


@cache
def codes(templates: Templates) -> dict[str, Code]:
    """Return every code by its name.

    Raises:
        TemplateError: If a row is no code, or names a private scheme that is not declared.
    """
    table = templates.tables["codes.toml"]
    found = {name: _code(name, row) for name, row in table["codes"].items()}
    declared = {scheme.designator for scheme in schemes(templates)}
    for name, entry in found.items():
        # Private designators begin with 99 (PS3.16 section 8.2).
        if entry.scheme.startswith("99") and entry.scheme not in declared:
            raise TemplateError(f"codes.toml: [codes.{name}]: declare [schemes.{entry.scheme}]")
    return found


def _code(name: str, row: dict[str, Any]) -> Code:
    try:
        return Code(str(row["scheme"]), str(row["value"]), str(row["meaning"]))
    except (KeyError, TypeError) as error:
        raise TemplateError(f"codes.toml: [codes.{name}] needs {error}") from error
    except TemplateError as error:
        raise TemplateError(f"codes.toml: [codes.{name}]: {error}") from error


@cache
def schemes(templates: Templates) -> tuple[CodingScheme, ...]:
    """Return the private coding schemes, this project's own first, then a site's."""
    table = templates.tables["codes.toml"]
    try:
        own = CodingScheme(**table["private_scheme"])
        sites = [
            CodingScheme(designator=name, **row) for name, row in table.get("schemes", {}).items()
        ]
    except TypeError as error:
        raise TemplateError(f"codes.toml: a scheme does not fit: {error}") from error
    return (own, *sites)


def private_scheme() -> CodingScheme:
    """Return the declaration of this project's own coding scheme."""
    return schemes(current())[0]


def refusal_code(reason: str) -> Code:
    """Return the private code of a refusal reason.

    Args:
        reason: The pipeline's reason in kebab-case.

    Raises:
        TemplateError: If the reason is empty.
    """
    if not reason:
        raise TemplateError("a refusal needs a reason")
    row = current().tables["refusals.toml"].get(reason)
    scheme = private_scheme().designator
    if row is None:
        return Code(scheme, reason.upper(), reason.replace("-", " ").capitalize()[:_MEANING_LENGTH])
    try:
        return Code(scheme, row["value"], row["meaning"])
    except (KeyError, TypeError, TemplateError) as error:
        raise TemplateError(f"refusals.toml: {reason}: {error}") from error
