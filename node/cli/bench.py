"""`crdl bench`: the measurements behind every figure that we publish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import JsonOption, print_rows

app = typer.Typer(help="Measure this machine. Ratios of one run count, not single times.")


@app.command()
def radiomics(
    rivals: Annotated[
        Path | None,
        typer.Option(help="Time the rivals too, in environments made and kept in this folder."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timings of each; the median counts.")] = 3,
    pixels: Annotated[
        list[int] | None, typer.Option(help="Lesion sizes; may be given again.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time pyradiomics, its rivals and the fused extractor, interleaved."""
    from models.features.radiomics.benchmark import main  # noqa: PLC0415 - slow imports

    main(
        [
            f"--rounds={rounds}",
            *([f"--install-rivals={rivals}"] if rivals else []),
            *(["--pixels", *map(str, pixels)] if pixels else []),
            *(["--json"] if as_json else []),
        ]
    )


@app.command()
def backbone(
    size: Annotated[int, typer.Option(min=16, help="Rows and columns of the crop.")] = 96,
    rounds: Annotated[int, typer.Option(min=1, help="Timings of each form.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Time the 3D backbone and its exact 2D twin, and compare their numbers."""
    from models.backbone.benchmark import main  # noqa: PLC0415 - slow imports

    asked = [f"--size={size}", f"--rounds={rounds}", f"--threads={threads}"]
    main([*asked, *(["--json"] if as_json else [])])


@app.command()
def assess(
    cases: Annotated[int, typer.Option(min=1, help="Simulated cases.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Times each is assessed.")] = 9,
    as_json: JsonOption = False,
) -> None:
    """Time one case from DICOM to score, stage by stage, with the shipped bundle."""
    from node.service.benchmark import time_cases  # noqa: PLC0415 - slow imports

    rows = list(time_cases(cases, rounds))
    print_rows(rows, list(rows[0]), as_json=as_json)
