"""`crdl audit query`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from node.audit import schema
from node.audit.query import Question, ask
from node.cli.output import ConfigOption, JsonOption, print_rows
from node.config import load_settings
from node.database import open_engine
from node.errors import InputError

app = typer.Typer(help="The record of everything the node did.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `query` a subcommand of its own name."""


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise InputError(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T08:30") from error


@app.command()
def query(
    patient: Annotated[str, typer.Option(help="Patient ID.")] = "",
    study: Annotated[str, typer.Option(help="Study Instance UID.")] = "",
    subject: Annotated[str, typer.Option(help="SOP Instance UID, case or job name.")] = "",
    state: Annotated[str, typer.Option(help="Event, or the state a job reached.")] = "",
    actor: Annotated[str, typer.Option(help="Who: a role, or person:NAME.")] = "",
    ledger: Annotated[list[str] | None, typer.Option(help="Only this ledger; repeat.")] = None,
    since: Annotated[str | None, typer.Option(help="ISO time, local if without zone.")] = None,
    until: Annotated[str | None, typer.Option(help="ISO time, exclusive.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 1000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what happened, oldest first."""
    database = open_engine(load_settings(config).database_url)
    schema.upgrade(database)
    rows = ask(
        database,
        Question(
            ledgers=ledger or (),
            patient=patient,
            study=study,
            subject=subject,
            event=state,
            actor=actor,
            since=_time(since),
            until=_time(until),
            limit=limit,
        ),
    )
    columns = ("at", "actor", "ledger", "event", "subject", "patient", "detail")
    print_rows(rows, columns, as_json=as_json)
