"""`crdl jobs list|show|retry|cancel`."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from node.audit import schema
from node.audit.seal import Sealer
from node.audit.trail import Trail
from node.cli.output import ConfigOption, JsonOption, print_json, print_rows
from node.config import load_settings
from node.database import open_engine
from node.jobs import admin

app = typer.Typer(help="The work: what waits, what failed, and setting it going again.")
COLUMNS = ("id", "state", "patient", "seg", "generation", "updated_at", "reason")


@contextmanager
def desk(config: ConfigOption) -> Iterator[admin.Desk]:
    """A person's desk on the configured node."""
    from node.jobs.dbos_engine import DbosEnqueuer, migrate  # noqa: PLC0415 - slow to import
    from node.service.executors import lanes  # noqa: PLC0415 - same

    settings = load_settings(config)
    database = open_engine(settings.database_url)
    schema.upgrade(database)
    migrate(database)
    enqueuer = DbosEnqueuer(database, lanes(settings))
    trail = Trail(f"person:{getpass.getuser()}", Sealer.from_file(settings.audit_key))
    try:
        yield admin.Desk(database, trail, enqueuer)
    finally:
        enqueuer.close()
        database.dispose()


@app.command("list")
def list_(
    state: Annotated[list[str] | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the latest jobs."""
    database = open_engine(load_settings(config).database_url)
    schema.upgrade(database)
    print_rows(admin.list_jobs(database, state or (), limit), COLUMNS, as_json=as_json)


@app.command()
def show(job: int, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show a job with its findings, report objects and deliveries."""
    database = open_engine(load_settings(config).database_url)
    schema.upgrade(database)
    shown = admin.show_job(database, job)
    if as_json:
        print_json(shown)
        return
    print_rows([shown], COLUMNS, as_json=False)
    console = Console()
    for uid in shown["missing"]:
        console.print(f"missing instance {uid}")
    for finding in shown["findings"]:
        console.print_json(data=finding)
    print_rows(shown["reports"], ("kind", "sop_instance_uid"), as_json=False, title="report")
    columns = ("destination", "state", "attempts", "last_error")
    print_rows(shown["deliveries"], columns, as_json=False, title="deliveries")


@app.command()
def retry(job: int, config: ConfigOption = None) -> None:
    """Set a dead or refused job going again."""
    with desk(config) as the_desk:
        print(f"job {job} is {the_desk.retry(job)}")


@app.command()
def cancel(job: int, config: ConfigOption = None) -> None:
    """Stop a job that is not finished."""
    with desk(config) as the_desk:
        the_desk.cancel(job)
    print(f"job {job} is dead")
