"""`crdl models list|show|train|evaluate|activate|deactivate|compare`."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from sqlalchemy import Engine

from node.audit.trail import Trail
from node.cli import study
from node.cli.ledger import open_ledger
from node.cli.monitor import monitor
from node.cli.output import ConfigOption, JsonOption, print_json, print_rows, progress_bar

Role = Literal["serving", "shadow"]
BackendOption = Annotated[
    str | None,
    typer.Option(help="Where cases are measured: loky, threading, dask,scheduler_host=..., ray."),
]
ShadowOption = Annotated[
    bool, typer.Option("--shadow", help="The bundle that scores for the audit only.")
]
EVALUATION_COLUMNS = ("model", "cases", "auc", "sensitivity", "specificity", "flagged as novel")

app = typer.Typer(help="Bundles: what answers, what it rests on, and training your own.")
app.command("study")(study.study)
app.command()(monitor)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the bundles that come with the node."""
    from models.bundle import Bundle, shipped_bundles  # noqa: PLC0415 - numpy on demand

    rows = [
        {
            "name": bundle.name,
            "version": bundle.version,
            "sha256": bundle.sha256,
            "simulated": bundle.simulated,
            "models": ", ".join(model.entry.name for model in bundle.models),
        }
        for bundle in map(Bundle.load, shipped_bundles())
    ]
    print_rows(rows, ("name", "version", "simulated", "models", "sha256"), as_json=as_json)


@app.command()
def show(
    bundle: Annotated[str, typer.Argument(help="Name of a shipped bundle, or a folder.")],
    as_json: JsonOption = False,
) -> None:
    """Print a bundle's card, after checking every hash in it."""
    from models.bundle import Bundle  # noqa: PLC0415

    loaded = Bundle.load(bundle)
    if as_json:
        print_json(json.loads(loaded.description.to_json()) | {"sha256": loaded.sha256})
        return
    print(loaded.card)


@app.command()
def train(
    cohort: Annotated[Path, typer.Option(help="Folder: clinical.csv, DICOM US and SEG.")],
    out: Annotated[Path, typer.Option(help="Folder of the new bundle.")],
    name: Annotated[str, typer.Option(help="Its name.")],
    version: Annotated[str, typer.Option(help="Its version.")] = "1",
    backbone: Annotated[
        Path | None, typer.Option(help="Backbone weights; without them, the shipped ones.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Folds and searches start from it.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes; 0 uses every core.")] = 0,
    backend: BackendOption = None,
) -> None:
    """Train a bundle on a cohort: features, nested selection, SVMs, calibration, card."""
    from models.bundle import Bundle  # noqa: PLC0415
    from models.study.train import train_bundle  # noqa: PLC0415 - scikit-learn on demand

    weights = backbone or Bundle.load("simulated").backbone
    with progress_bar("training") as report:
        folder = train_bundle(
            cohort,
            out,
            name=name,
            version=version,
            backbone=weights,
            seed=seed,
            jobs=jobs,
            backend=backend,
            progress=report,
        )
    print(folder)


@app.command()
def evaluate(
    bundle: Annotated[str, typer.Argument(help="Name of a shipped bundle, or a folder.")],
    out: Annotated[Path, typer.Option(help="Folder for scores.csv and evaluation.json.")],
    cohort: Annotated[
        Path | None, typer.Option(help="Folder: clinical.csv, DICOM US and SEG.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="CSV: id, label and the bundle's features as columns.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; 0 uses every core.")] = 0,
    backend: BackendOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a bundle on an external cohort as it would be served, thresholds unchanged."""
    from models.study.evaluate import evaluate_cohort, evaluate_table  # noqa: PLC0415
    from models.study.evaluation_output import (  # noqa: PLC0415
        as_json as evaluation_json,
    )
    from models.study.evaluation_output import as_rows, write_evaluation  # noqa: PLC0415

    if (cohort is None) == (table is None):
        raise typer.BadParameter("give --cohort or --table, one of them")
    with progress_bar("measuring") as report:
        if cohort is not None:
            found = evaluate_cohort(bundle, cohort, jobs=jobs, backend=backend, progress=report)
        else:
            assert table is not None  # noqa: S101 - one of both was given
            found = evaluate_table(bundle, table)
    write_evaluation(found, out)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print_json(evaluation_json(found))
        return
    print_rows(as_rows(found), EVALUATION_COLUMNS, as_json=False)
    print(f"written to {out}")


@app.command()
def activate(
    bundle: Annotated[str, typer.Argument(help="Name of a shipped bundle, or a folder.")],
    shadow: ShadowOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a bundle answer from the next case on; it wins over node.toml in every worker."""
    from node.service.activation import activate as make_active  # noqa: PLC0415

    with the_ledger(config) as (database, trail):
        choice = make_active(database, trail, _role(shadow=shadow), bundle)
    print(f"{_role(shadow=shadow)}: {choice.bundle} ({choice.sha256})")


@app.command()
def deactivate(shadow: ShadowOption = False, config: ConfigOption = None) -> None:
    """Let node.toml say again which bundle answers, or shadows."""
    from node.service.activation import deactivate as end  # noqa: PLC0415

    with the_ledger(config) as (database, trail):
        end(database, trail, _role(shadow=shadow))
    print(f"{_role(shadow=shadow)}: as node.toml says")


@app.command()
def compare(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Compare the shadow bundle with the serving one on the cases that both have scored."""
    from node.service.comparison import compare as compared  # noqa: PLC0415

    with the_ledger(config) as (database, _):
        found = compared(database)
    if as_json:
        print_json(found.to_json())
        return
    print(f"serving {found.serving}\nshadow  {found.shadow}")
    print(f"cases {found.cases}, scored by both {found.scored}, classed by both {found.classed}")
    kappa = "not defined" if found.kappa is None else f"{found.kappa:.3f}"
    print(f"same class {found.same_class} of {found.classed}, kappa {kappa}")
    if found.mean_difference is not None:
        limits = found.limits
        between = (
            "" if limits is None else f", limits of agreement {limits[0]:+.3f}..{limits[1]:+.3f}"
        )
        print(f"probability, shadow less serving: mean {found.mean_difference:+.3f}{between}")
    rows = [asdict(pair) for pair in found.disagreeing]
    columns = ("case", "serving_class", "shadow_class", "serving_probability", "shadow_probability")
    print_rows(rows, columns, as_json=False, title="different answers")


@contextmanager
def the_ledger(config: Path | None) -> Iterator[tuple[Engine, Trail]]:
    """The configured node's database, and a person's hand in its ledger."""
    with open_ledger(config) as (database, sealer):
        yield database, Trail(f"person:{getpass.getuser()}", sealer)


def _role(*, shadow: bool) -> Role:
    return "shadow" if shadow else "serving"
