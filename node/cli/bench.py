"""`crdl bench`: the measurements behind every figure that we publish."""

from __future__ import annotations

import typer

app = typer.Typer(help="Measure this machine. Ratios of one run count, not single times.")


@app.command()
def radiomics() -> None:
    """Time pyradiomics, its rivals and the fused extractor, interleaved."""
    from models.features.radiomics.benchmark import main  # noqa: PLC0415 - slow imports

    main()


@app.command()
def backbone() -> None:
    """Time the 3D backbone and its exact 2D twin, and compare their numbers."""
    from models.backbone.benchmark import main  # noqa: PLC0415 - slow imports

    main()
