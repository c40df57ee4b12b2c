"""The console script `crdl`: thin commands over the rooms.

Exit status: 0 done, 1 the work failed, 2 the command was called wrongly. Errors are one line.
"""

from __future__ import annotations

import logging
import sys

import typer

from models.errors import ModelsError
from node.cli import (
    alive,
    assess,
    audit,
    backup,
    bench,
    cases,
    doctor,
    export,
    jobs,
    models,
    outcomes,
    reports,
    rules,
    send,
    serve,
    simulate,
    tokens,
    users,
)
from node.errors import CrdlError
from sr_templates.errors import TemplateError

app = typer.Typer(
    name="crdl",
    help="A PACS node that scores ultrasound soft-tissue tumours. Not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.serve)
app.command("assess")(assess.assess)
app.command("features")(assess.features)
app.command("send")(send.send)
app.command("doctor")(doctor.doctor)
app.command("alive")(alive.alive)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("simulate")(simulate.simulate)
app.add_typer(jobs.app, name="jobs")
app.add_typer(cases.app, name="cases")
app.add_typer(reports.app, name="reports")
app.add_typer(rules.app, name="rules")
app.add_typer(outcomes.app, name="outcomes")
app.add_typer(export.app, name="export")
app.add_typer(audit.app, name="audit")
app.add_typer(models.app, name="models")
app.add_typer(users.app, name="users")
app.add_typer(tokens.app, name="tokens")
app.add_typer(bench.app, name="bench")

_NOISY = (
    *("pydicom", "highdicom", "httpx", "radiomics", "dbos", "alembic", "uvicorn"),
    *("fontTools", "matplotlib"),
)


def main() -> None:
    """Run the command line; translate our errors into one line and exit status 1."""
    logging.getLogger("weasyprint").setLevel(logging.ERROR)  # it warns of every SVG property
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It reports every peer that cannot be reached as an error; we say so ourselves, in one line.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    try:
        app()
    except (CrdlError, ModelsError, TemplateError) as error:
        print(f"crdl: {error}", file=sys.stderr)
        raise SystemExit(1) from error
