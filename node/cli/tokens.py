"""`crdl tokens create|list|revoke`."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from node.audit.trail import Trail
from node.cli.ledger import open_ledger
from node.cli.output import ConfigOption, JsonOption, print_json, print_rows
from node.database import utc_now
from node.errors import InputError
from node.web.auth.identity import Scope
from node.web.auth.tokens import Tokens

app = typer.Typer(help="Credentials of programs: sent as `Authorization: Bearer TOKEN`.")
COLUMNS = ("name", "scopes", "standing", "created_by", "created_at", "expires_at", "used_at")
_DAYS: Final = re.compile(r"(\d{1,4})d")


@contextmanager
def _tokens(config: Path | None) -> Iterator[Tokens]:
    with open_ledger(config) as (database, sealer):
        yield Tokens(database, Trail(f"person:{getpass.getuser()}", sealer))


@app.command()
def create(
    name: str,
    scope: Annotated[list[Scope], typer.Option(help="What it may do; again for more.")],
    expires: Annotated[str, typer.Option(help="`90d`, a date, or `never`.")] = "365d",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it, this once: the node keeps only its hash."""
    until = _end(expires)
    with _tokens(config) as tokens:
        secret = tokens.create(name, scope, until)
    if as_json:
        print_json({"name": name, "token": secret, "scopes": scope, "expires_at": until})
    else:
        print(secret)


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the tokens with their last use, to the minute."""
    with _tokens(config) as tokens:
        rows = [asdict(token) for token in tokens.all()]
    if not as_json:
        rows = [{**row, "scopes": " ".join(row["scopes"])} for row in rows]
    print_rows(rows, COLUMNS, as_json=as_json)


@app.command()
def revoke(name: str, config: ConfigOption = None) -> None:
    """Make a token worthless at once."""
    with _tokens(config) as tokens:
        tokens.revoke(name)
    print(f"{name} opens nothing any more")


def _end(text: str) -> datetime | None:
    if text == "never":
        return None
    if days := _DAYS.fullmatch(text):
        return utc_now() + timedelta(days=int(days[1]))
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--expires {text}: give days (90d), a date, or never") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
