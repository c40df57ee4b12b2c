"""`crdl audit query|verify|head|export|pseudonym`."""

from __future__ import annotations

import getpass
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from sqlalchemy import select

from node.audit.export import Format
from node.audit.export import export as write_export
from node.audit.pseudonym import PSEUDONYM, Pseudonyms
from node.audit.query import Question, ask
from node.audit.tables import Study as StudyRow
from node.audit.trail import Trail
from node.audit.verify import read_heads, signed_head
from node.audit.verify import verify as prove
from node.cli.ledger import open_ledger
from node.cli.output import ConfigOption, JsonOption, print_json, print_rows
from node.config import load_settings
from node.database import read_only
from node.errors import InputError

app = typer.Typer(help="The record of everything the node did.", no_args_is_help=True)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise InputError(f"{text!r} is no time such as 2026-01-31 or 2026-01-31T08:30") from error


Patient = Annotated[str, typer.Option(help="Patient ID.")]
Study = Annotated[str, typer.Option(help="Study Instance UID.")]
Subject = Annotated[str, typer.Option(help="SOP Instance UID, case or job name.")]
State = Annotated[str, typer.Option(help="Event, or the state a job reached.")]
Actor = Annotated[str, typer.Option(help="Who: a role, or person:NAME.")]
Ledgers = Annotated[list[str] | None, typer.Option("--ledger", help="Only this ledger; repeat.")]
Since = Annotated[str | None, typer.Option(help="ISO time, local if without zone.")]
Until = Annotated[str | None, typer.Option(help="ISO time, exclusive.")]


@app.command()
def query(
    patient: Patient = "",
    study: Study = "",
    subject: Subject = "",
    state: State = "",
    actor: Actor = "",
    ledger: Ledgers = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 1000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what happened, oldest first."""
    asked = Question(
        ledger or (), patient, study, subject, state, actor, _time(since), _time(until), limit
    )
    with open_ledger(config) as (database, _):
        rows = ask(database, asked)
    columns = ("at", "actor", "ledger", "event", "subject", "patient", "detail")
    print_rows(rows, columns, as_json=as_json)


@app.command()
def verify(
    heads: Annotated[
        Path | None, typer.Option(help="File of signed chain ends that was kept elsewhere.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many hash at once; as many as cores.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that no row was altered, removed or added; exit 1 names the first that was."""
    kept = read_heads(heads) if heads is not None else ()
    with open_ledger(config) as (database, sealer):
        found = prove(database, sealer, kept, processes or os.cpu_count() or 1)
    if as_json:
        print_json(asdict(found) | {"intact": found.intact})
    else:
        print_rows([asdict(fault) for fault in found.faults], _FAULT_COLUMNS, as_json=False)
        print(
            f"{found.rows} rows in {found.links} links compared; {found.unchained} not chained "
            f"yet, the oldest for {found.oldest_unchained_s:.0f} s"
        )
        if found.unsealed:
            print(
                f"{found.unsealed} rows are from before there were seals: the chain fixes them "
                "since the upgrade, nothing proves them before it"
            )
        print("intact" if found.intact else f"NOT INTACT: {len(found.faults)} faults")
    if not found.intact:
        raise typer.Exit(1)


@app.command()
def head(config: ConfigOption = None) -> None:
    """Print the signed end of the chain, to be kept where the node's admin cannot change it."""
    with open_ledger(config) as (database, sealer):
        end = signed_head(database, sealer)
    if end is None:
        raise InputError("nothing is chained yet: the node chains while it runs")
    print(end.to_line())


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write; its ending says the form.")],
    patient: Patient = "",
    study: Study = "",
    subject: Subject = "",
    state: State = "",
    actor: Actor = "",
    ledger: Ledgers = None,
    since: Since = None,
    until: Until = None,
    config: ConfigOption = None,
) -> None:
    """Write what answers as .csv, .jsonl, .parquet; .ndjson is FHIR, .atna DICOM; audited."""
    form = out.suffix.removeprefix(".")
    if form not in get_args(Format):
        raise InputError(f"{out} ends in none of .{', .'.join(get_args(Format))}")
    asked = Question(
        ledger or (), patient, study, subject, state, actor, _time(since), _time(until)
    )
    with open_ledger(config) as (database, sealer):
        source = load_settings(config).node.ae_title
        count = write_export(database, asked, out, cast("Format", form), source)
        with database.begin() as connection:
            Trail(f"person:{getpass.getuser()}", sealer).record(
                connection,
                "system",
                "exported",
                "audit",
                {"rows": count, "form": form, "file": out.name, "question": _asked(asked)},
            )
    print(f"{count} rows in {out}")


_FAULT_COLUMNS = ("kind", "where", "number", "detail")


def _asked(question: Question) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(question).items() if value}


@app.command()
def pseudonym(
    study: Annotated[str, typer.Argument(help="A UID, or a pseudonym from a log or a trace.")],
    config: ConfigOption = None,
) -> None:
    """Tell what a study is called in logs and traces, or which study a pseudonym is."""
    with open_ledger(config) as (database, sealer):
        who = Pseudonyms(sealer)
        if not PSEUDONYM.fullmatch(study):
            print(who.of(study))
            return
        with read_only(database) as connection:
            for uid in connection.scalars(select(StudyRow.study_instance_uid)):
                if who.of(uid) == study:
                    print(uid)
                    return
    raise InputError(f"no study of this node is {study}")
