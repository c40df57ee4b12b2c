"""`crdl simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import progress_bar


def simulate(
    cases: Annotated[int, typer.Option(min=1, help="How many cases.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it may hold an earlier run.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes; 0 uses every core.")] = 0,
    readings: Annotated[
        bool, typer.Option("--readings", help="Write each reader's reading as an SR too.")
    ] = False,
) -> None:
    """Simulate a cohort: DICOM ultrasound, SEGs of two readers and clinical.csv. No patients."""
    from models.simulation.cohort import write_cohort  # noqa: PLC0415 - scipy only where needed

    with progress_bar("simulating") as report:
        table = write_cohort(cases, seed, out, jobs=jobs, progress=report, readings=readings)
    print(table)
