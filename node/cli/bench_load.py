"""`crdl bench`: whole nodes under load, beside real peers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import JsonOption, print_json, print_rows, progress_bar

app = typer.Typer()


@app.command()
def ingest(
    receiver: Annotated[
        list[str] | None,
        typer.Option(help="crdl-sqlite, crdl-postgresql, orthanc, storescp; all without it."),
    ] = None,
    stills: Annotated[int, typer.Option(min=0, help="Stills of 0.5 MB a burst.")] = 160,
    clips: Annotated[int, typer.Option(min=0, help="Clips of 60 MB a burst.")] = 8,
    associations: Annotated[
        list[int] | None, typer.Option(min=1, help="Associations at once; may be given again.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Bursts of each; the median counts.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Send stills and clips to our receiver, Orthanc and dcmtk's storescp, interleaved."""
    from node.bench import ingest as bench  # noqa: PLC0415 - peers and senders, here only

    wanted = tuple(receiver or bench.RECEIVERS)
    planned = bench.loads(stills, clips, tuple(associations or (1, 8)))
    with progress_bar("bursts") as report:
        rows = bench.run(wanted, planned, rounds, {}, report)
    print_rows(rows, list(rows[0]), as_json=as_json, title="Ingest")


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 60,
    per_hour: Annotated[float, typer.Option(min=1, help="US images an hour.")] = 600,
    samples: Annotated[Path | None, typer.Option(help="Write every sample here, as CSV.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a whole node beside Orthanc under steady traffic; exit 1 if a process grows."""
    from node.bench import soak as bench  # noqa: PLC0415 - peers and senders, here only

    with progress_bar("seconds") as report:
        found, summary = bench.soak(60 * minutes, per_hour, report, samples)
    rows = [asdict(row) for row in found]
    if as_json:
        print_json({"processes": rows, **summary})
    else:
        print_rows(rows, list(rows[0]) if rows else [], as_json=False, title="Soak")
        print_rows([summary], list(summary), as_json=False)
    lost = summary["instances_acknowledged"] - summary["instances_kept"]
    if lost or summary["without_outcome"] or not bench.all_flat(found):
        raise typer.Exit(1)


@app.command()
def latency(
    per_hour: Annotated[
        list[float] | None, typer.Option(min=1, help="US images an hour; may be given again.")
    ] = None,
    studies: Annotated[int, typer.Option(min=1, help="The most studies at a rate.")] = 200,
    minutes: Annotated[float, typer.Option(min=0.1, help="The most minutes at a rate.")] = 10,
    database: Annotated[str, typer.Option(help="sqlite or postgresql.")] = "sqlite",
    as_json: JsonOption = False,
) -> None:
    """Time from the last C-STORE of a study to the proof that its SR is in Orthanc."""
    from node.bench import latency as bench  # noqa: PLC0415 - peers and senders, here only

    if database not in {"sqlite", "postgresql"}:
        raise typer.BadParameter("give sqlite or postgresql", param_hint="--database")
    with progress_bar("rates") as report:
        found = bench.run(
            per_hour or bench.RATES, studies, 60 * minutes, database=database, report=report
        )
    rows = [one.row() for one in found]
    print_rows(rows, list(rows[0]), as_json=as_json, title="Last C-STORE to proven SR")
    if any(one.unproven for one in found):
        raise typer.Exit(1)
