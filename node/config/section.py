"""What all sections share."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """A frozen section; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_none)]
"""A path, or "" in the file for none."""


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address; a name other than localhost may not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
