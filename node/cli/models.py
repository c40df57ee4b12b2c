"""`crdl models list|show|train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import JsonOption, print_json, print_rows, progress_bar

app = typer.Typer(help="Bundles: what answers, what it rests on, and training your own.")


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
            progress=report,
        )
    print(folder)
