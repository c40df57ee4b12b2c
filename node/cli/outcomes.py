"""`crdl outcomes import|list`: what lesions turned out to be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from node.audit import schema
from node.cli.output import ConfigOption, JsonOption, print_json, print_rows
from node.config import load_settings
from node.database import open_engine
from node.errors import InputError

app = typer.Typer(help="Outcomes: pathology results, and what verified reports said.")
_COLUMNS = ("kind", "malignant", "agrees", "observed_at", "patient_id", "case_name", "source")


@app.command("import")
def import_(
    table: Annotated[
        Path,
        typer.Argument(
            help="CSV: malignant (1, 0 or empty) and patient_id, accession or study; optional "
            "tracking, case, date."
        ),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in pathology results, all rows or none; the same row again changes nothing."""
    from node.cli.jobs import desk  # noqa: PLC0415 - it is the one that knows who is here
    from node.jobs.outcome_table import outcomes_from_csv  # noqa: PLC0415
    from node.jobs.outcomes import keep_outcomes  # noqa: PLC0415

    try:
        said = outcomes_from_csv(table.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table}: {error}") from error
    with desk(config) as the_desk:
        kept = keep_outcomes(the_desk.database, the_desk.trail, said)
    counts = Counter(one.standing for one in kept)
    homeless = sum(not one.case_name for one in kept)
    summary = {**{name: counts[name] for name in ("new", "changed", "known")}, "no_case": homeless}
    if as_json:
        print_json(summary)
        return
    print(
        f"{len(kept)} outcome(s): {counts['new']} new, {counts['changed']} changed,"
        f" {counts['known']} known; {homeless} fit no case or more than one"
    )


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 1000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the outcomes."""
    from node.jobs.outcomes import list_outcomes  # noqa: PLC0415

    database = open_engine(load_settings(config).database_url)
    schema.upgrade(database)
    print_rows(list_outcomes(database, limit), _COLUMNS, as_json=as_json)
