"""`crdl bench`: the measurements behind every figure that we publish."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from node.cli import bench_load
from node.cli.output import JsonOption, print_json, print_rows, progress_bar

app = typer.Typer(help="Measure this machine. Ratios of one run count, not single times.")
app.add_typer(bench_load.app)  # no name: its commands are these


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


@app.command()
def kill(
    database: Annotated[
        list[str] | None,
        typer.Option(help="sqlite or postgresql; without it, one after the other."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each kill takes its turn.")] = 4,
    minutes: Annotated[float, typer.Option(min=0.1, help="After so many nobody is killed.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the moments of random kills.")] = 7,
    folder: Annotated[Path | None, typer.Option(help="Keep here what was written.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Kill every process at every stage boundary and at random; count what is lost or doubled."""
    from node.bench.kill.matrix import run_matrix  # noqa: PLC0415 - slow imports

    kinds = database or ["sqlite", "postgresql"]
    with _working_folder(folder) as root:
        matrices = [
            run_matrix(root / kind, kind, rounds, seed, _say, minutes=minutes) for kind in kinds
        ]
    if as_json:
        print_json([matrix.to_json() for matrix in matrices])
    else:
        for matrix in matrices:
            rows = [row.to_json() for row in (*matrix.rows, matrix.total)]
            print_rows(rows, list(rows[0]), as_json=False, title=f"Kills on {matrix.database}")
    if not all(matrix.verdict.clean for matrix in matrices):
        raise typer.Exit(1)


@app.command()
def freeze(
    rounds: Annotated[int, typer.Option(min=1, help="Of freezing, killing and replacing.")] = 4,
    seed: Annotated[int, typer.Option(help="Of who and when.")] = 7,
    folder: Annotated[Path | None, typer.Option(help="Keep here what was written.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Freeze and kill workers and senders of a fleet over PostgreSQL; count what is lost."""
    from node.bench.kill.fleet import run_fleet  # noqa: PLC0415 - slow imports

    with _working_folder(folder) as root:
        run = run_fleet(root / "fleet", rounds, seed, _say)
    row = run.to_json()
    print_rows([row], list(row), as_json=as_json, title="Frozen and dead processes")
    if not run.verdict.clean:
        raise typer.Exit(1)


@app.command()
def scale(
    workers: Annotated[
        list[int] | None, typer.Option(min=1, help="Workers of a run; 1, 2 and 4 without it.")
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Studies of each run.")] = 40,
    records: Annotated[
        list[int] | None,
        typer.Option(min=100, help="Studies of a record; 1,000 and 100,000 without it."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=3, help="Studies through each record.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Time workers on PostgreSQL and a study's cost on large records; simulate what is beyond."""
    from node.bench.scale.report import measure_scale, rows_of  # noqa: PLC0415 - slow imports

    found = measure_scale(workers or (1, 2, 4), cases, records or (1_000, 100_000), rounds, _say)
    if as_json:
        print_json(found.to_json())
    else:
        for title, rows in rows_of(found).items():
            print_rows(rows, list(rows[0]), as_json=False, title=title)
    if not found.holds:
        raise typer.Exit(1)


@app.command()
def audit(
    studies: Annotated[int, typer.Option(min=1, help="Studies in the record.")] = 10_000,
    database: Annotated[
        list[str] | None,
        typer.Option(help="sqlite or postgresql; without it, one after the other."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Times each question is asked.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Time the runbook's questions and the lists over a record of this size, and prove it."""
    from node.bench.record.measure import filled, measure  # noqa: PLC0415 - slow imports

    found = []
    for kind in database or ["sqlite", "postgresql"]:
        with progress_bar(kind) as report, filled(kind, studies, report) as (engine, sealer):
            found.append(measure(engine, sealer, studies, rounds))
    if as_json:
        print_json([one.to_json() for one in found])
    else:
        for one in found:
            title = (
                f"{one.database}: {one.studies} studies, {one.rows} ledger rows, "
                f"{one.gigabytes} GB, {one.verified_per_s:.0f} rows/s proven"
            )
            rows = [asdict(answer) for answer in one.answers]
            print_rows(rows, list(rows[0]), as_json=False, title=title)
    if not all(one.holds for one in found):
        raise typer.Exit(1)


@contextmanager
def _working_folder(kept: Path | None) -> Iterator[Path]:
    """A folder that is gone afterwards, unless a person named one."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with TemporaryDirectory(prefix="crdl-kill-") as folder:
        yield Path(folder)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
