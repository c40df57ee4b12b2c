"""`crdl users add|list|disable|enable|passwd|role`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from node.audit.trail import Trail
from node.cli.ledger import open_ledger
from node.cli.output import ConfigOption, JsonOption, print_rows
from node.errors import InputError
from node.web.auth.accounts import Accounts
from node.web.auth.identity import Role

app = typer.Typer(help="Who may log in to the web. With the first user everybody must.")
COLUMNS = ("name", "role", "disabled", "failures", "locked_until", "created_at", "password_at")
RoleOption = Annotated[Role, typer.Option(help="viewer sees, operator changes, admin rules.")]


@contextmanager
def _accounts(config: Path | None) -> Iterator[Accounts]:
    with open_ledger(config) as (database, sealer):
        yield Accounts(database, Trail(f"person:{getpass.getuser()}", sealer))


def _password(name: str) -> str:
    """Ask for a new password twice; without a terminal take one line from stdin."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass(f"New password of {name}: ")
    if getpass.getpass("Once more: ") != first:
        raise InputError("the two passwords differ; nothing was changed")
    return first


@app.command()
def add(name: str, role: RoleOption = Role.VIEWER, config: ConfigOption = None) -> None:
    """Add a user; asks for the password, or reads it from stdin."""
    with _accounts(config) as accounts:
        accounts.add(name, role, _password(name))
    print(f"{name} may log in as {role}")


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the users."""
    with _accounts(config) as accounts:
        rows = [asdict(account) for account in accounts.everyone()]
    print_rows(rows, COLUMNS, as_json=as_json)


@app.command()
def disable(name: str, config: ConfigOption = None) -> None:
    """Close an account: its sessions end at once. The name stays taken."""
    with _accounts(config) as accounts:
        accounts.set_disabled(name, disabled=True)
    print(f"{name} may not log in")


@app.command()
def enable(name: str, config: ConfigOption = None) -> None:
    """Open a closed or locked account again."""
    with _accounts(config) as accounts:
        accounts.set_disabled(name, disabled=False)
    print(f"{name} may log in")


@app.command()
def passwd(name: str, config: ConfigOption = None) -> None:
    """Give a user a new password: their sessions end; asks, or reads it from stdin."""
    with _accounts(config) as accounts:
        accounts.set_password(name, _password(name))
    print(f"{name} has a new password")


@app.command("role")
def role_(name: str, role: Role, config: ConfigOption = None) -> None:
    """Give a user another role; it holds from their next request on."""
    with _accounts(config) as accounts:
        accounts.set_role(name, role)
    print(f"{name} is {role}")
