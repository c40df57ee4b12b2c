"""`crdl doctor`."""

from __future__ import annotations

import dataclasses

import typer

from node.cli.output import ConfigOption, JsonOption, print_json
from node.config import load_settings

_SIGNS = {"ok": "ok     ", "warning": "WARNING", "failed": "FAILED "}


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check configuration, ports, destinations, TLS, disk, database, device and bundle."""
    from node.service.checks import examine  # noqa: PLC0415 - SQLAlchemy on demand

    checks = []
    for check in examine(load_settings(config)):
        checks.append(check)
        if not as_json:
            print(f"{_SIGNS[check.verdict]} {check.name}: {check.text}")
    if as_json:
        print_json([dataclasses.asdict(check) for check in checks])
    if any(check.verdict == "failed" for check in checks):
        raise typer.Exit(1)
