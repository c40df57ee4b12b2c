"""`crdl doctor`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from node.cli.output import ConfigOption, JsonOption, print_json
from node.config import load_settings

_SIGNS = {"ok": "ok     ", "warning": "WARNING", "failed": "FAILED "}


Strict = Annotated[bool, typer.Option("--strict", help="A warning fails, too.")]


def doctor(
    strict: Strict = False, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Check configuration, ports, peers, TLS, disk, database, clock, backup, device and bundle.

    Exit status 1 if a check failed. It changes and migrates nothing.
    """
    from node.service.checks import examine  # noqa: PLC0415 - SQLAlchemy on demand

    checks = []
    for check in examine(load_settings(config)):
        checks.append(check)
        if not as_json:
            print(f"{_SIGNS[check.verdict]} {check.name}: {check.text}")
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    bad = {"failed", "warning"} if strict else {"failed"}
    if any(check.verdict in bad for check in checks):
        raise typer.Exit(1)
