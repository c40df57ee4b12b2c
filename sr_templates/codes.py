"""The codes of the report, read once from codes.toml and refusals.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from highdicom.sr import CodedConcept

from sr_templates.errors import TemplateError

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

    def concept(self) -> CodedConcept:
        """Return a new item for a code sequence; over 16 characters it is a Long Code Value."""
        return CodedConcept(self.value, self.scheme, self.meaning)


@dataclass(frozen=True, slots=True)
class CodingScheme:
    """An item of the Coding Scheme Identification Sequence (PS3.3 section C.12.1)."""

    designator: str
    uid: str
    name: str
    version: str
    responsible: str


def read_table(name: str) -> dict[str, Any]:
    """Read one of this package's TOML tables.

    Raises:
        TemplateError: If the table is not there or is no TOML.
    """
    try:
        return tomllib.loads((resources.files("sr_templates") / name).read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise TemplateError(f"{name}: {error}") from error


@cache
def _codes() -> dict[str, Code]:
    return {
        name: Code(row["scheme"], row["value"], row["meaning"])
        for name, row in read_table("codes.toml")["codes"].items()
    }


@cache
def private_scheme() -> CodingScheme:
    """Return the declaration of this project's own coding scheme."""
    return CodingScheme(**read_table("codes.toml")["private_scheme"])


def code(name: str) -> Code:
    """Return the code of that name in codes.toml.

    Raises:
        TemplateError: If there is none.
    """
    try:
        return _codes()[name]
    except KeyError as error:
        raise TemplateError(f"codes.toml has no code {name!r}") from error


@cache
def refusal_code(reason: str) -> Code:
    """Return the private code of a refusal reason.

    Args:
        reason: The pipeline's reason in kebab-case.

    Raises:
        TemplateError: If the reason is empty.
    """
    if not reason:
        raise TemplateError("a refusal needs a reason")
    scheme = private_scheme().designator
    row = read_table("refusals.toml").get(reason)
    if row is None:
        return Code(scheme, reason.upper(), reason.replace("-", " ").capitalize()[:_MEANING_LENGTH])
    return Code(scheme, row["value"], row["meaning"])
