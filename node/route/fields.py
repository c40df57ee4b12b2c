"""What a rule may ask for: the table `fields.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Moment = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a rule may ask for.

    Attributes:
        known: From when on it is known: before an assessment, or after it.
    """

    name: str
    known: Moment
    kind: Literal["text", "number", "flag"]
    meaning: str


@cache
def fields() -> Mapping[str, Field]:
    """Return the fields by name."""
    table = tomllib.loads(files(__package__).joinpath("fields.toml").read_text("utf-8"))
    return {name: Field(name, **row) for name, row in table.items()}
