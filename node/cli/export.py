"""`crdl export cohort`: labelled lesions of the node's own archive, de-identified, for a study."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from node.audit.trail import Trail
from node.cli.ledger import open_ledger
from node.cli.output import ConfigOption, JsonOption, print_json, progress_bar
from node.config import load_settings

app = typer.Typer(help="Give out what the node holds, without identifiers.")


@app.callback()
def _several() -> None:
    """Keep `cohort` a command of its own."""


@app.command()
def cohort(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    since: Annotated[datetime | None, typer.Option(help="Assessed from this day on.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Assessed before this day.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=PATTERN or FIELD=MIN..MAX, all of them; see crdl rules fields."),
    ] = None,
    dates: Annotated[
        str, typer.Option(help="shift (by days that differ by patient) or remove.")
    ] = "shift",
    key: Annotated[
        Path | None, typer.Option(help="Key of the pseudonyms; made in the data folder if absent.")
    ] = None,
    site: Annotated[str, typer.Option(help="Written into the table as site.")] = "",
    external: Annotated[
        bool, typer.Option("--external", help="For validation instead of training.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write images, SEGs and clinical.csv for `crdl models study`, by PS3.15 annex E.

    Lesions with an outcome (crdl outcomes) are exported. Text outside the ultrasound regions is
    blanked; what stands inside them, such as calipers or a typed note, is left: look at the images
    before you pass them on.
    """
    from node.blobs import BlobStore  # noqa: PLC0415
    from node.deidentify.pseudonyms import Pseudonyms  # noqa: PLC0415
    from node.service.cohort import Wish, condition, export_cohort  # noqa: PLC0415

    settings = load_settings(config)
    chosen = tuple(condition(one) for one in where or ())
    if dates not in {"shift", "remove"}:
        raise typer.BadParameter("shift or remove", param_hint="--dates")
    how: Literal["shift", "remove"] = "shift" if dates == "shift" else "remove"
    with open_ledger(config) as (database, sealer), progress_bar("exporting") as report:
        done = export_cohort(
            database,
            BlobStore(settings.node.data_dir / "blobs"),
            Trail(f"person:{getpass.getuser()}", sealer),
            Pseudonyms.from_file(key or settings.node.data_dir / "cohort.key"),
            out,
            Wish(_utc(since), _utc(until), chosen, how, site, external),
            report,
        )
    if as_json:
        print_json(asdict(done))
        return
    print(f"{done.cases} lesions of {done.patients} patients, {done.malignant} malignant, in {out}")
    for reason, number in done.left_out.items():
        print(f"  left out, {number}: {reason}")
    print(f"next: crdl models study --cohort {out} --out study")


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone()
