"""`crdl reports list|show|withdraw`."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer
from rich.console import Console

from node.audit import schema
from node.cli.output import ConfigOption, JsonOption, print_json, print_rows
from node.config import load_settings
from node.database import open_engine
from node.jobs import withdrawing

app = typer.Typer(help="The reports that were made, and taking one back.")
COLUMNS = ("id", "state", "patient", "generation", "created_at", "sr", "reason", "by")
_ReportArgument = Annotated[str, typer.Argument(help="Its id, or the SR's SOP Instance UID.")]


@app.command("list")
def list_(
    patient: Annotated[str, typer.Option(help="Only of this Patient ID.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the latest reports: current, superseded or withdrawn."""
    database = open_engine(load_settings(config).database_url)
    schema.upgrade(database)
    print_rows(withdrawing.list_reports(database, limit, patient), COLUMNS, as_json=as_json)


@app.command()
def show(report: _ReportArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show a report with its findings, objects and where they are."""
    database = open_engine(load_settings(config).database_url)
    schema.upgrade(database)
    shown = withdrawing.show_report(database, report)
    if as_json:
        print_json(shown)
        return
    print_rows([shown], COLUMNS, as_json=False)
    for finding in shown["findings"]:
        Console().print_json(data=finding)
    columns = ("kind", "sop_instance_uid", "destination", "state", "last_error")
    print_rows(shown["objects"], columns, as_json=False, title="objects")


@app.command()
def withdraw(
    report: _ReportArgument,
    reason: Annotated[str, typer.Option(help="Why; it stands in the note that archives get.")],
    config: ConfigOption = None,
) -> None:
    """Withdraw a report: every archive that got it gets a rejection note."""
    from node.jobs.dbos_engine import DbosEnqueuer  # noqa: PLC0415 - slow to import
    from node.service.compose import lay_foundation, rejection_stage  # noqa: PLC0415
    from node.service.executors import lanes  # noqa: PLC0415 - same

    foundation = lay_foundation(load_settings(config), f"person:{getpass.getuser()}")
    enqueuer = DbosEnqueuer(foundation.database, lanes(foundation.settings))
    withdrawer = withdrawing.Withdrawer(
        foundation.database, foundation.trail, enqueuer, foundation.blobs, rejection_stage()
    )
    try:
        state = withdrawer.withdraw(report, reason)
    finally:
        enqueuer.close()
        foundation.close()
    print(f"report {report} is withdrawn; its job is {state}")
