"""`crdl alive`."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.output import ConfigOption
from node.cli.serve import Role
from node.config import load_settings
from node.errors import CrdlError


def alive(
    role: Annotated[Role, typer.Option(help="Which part of the node to ask.")] = Role.ALL,
    config: ConfigOption = None,
) -> None:
    """Ask whether the node's processes on this machine live; exit 1 if one does not."""
    from node.service.alive import signs  # noqa: PLC0415 - SQLAlchemy on demand

    wrong = [f"{name}: {said}" for name, said in signs(load_settings(config), role.value) if said]
    if wrong:
        raise CrdlError("; ".join(wrong))
