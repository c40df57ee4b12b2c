"""`crdl models study`: the paper's whole study, from a cohort or from a table of features."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from node.cli.output import JsonOption, print_json, print_rows, progress_bar

COLUMNS = ("model", "auc", "auc ci", "external auc", "sensitivity", "specificity", "threshold")


def study(
    out: Annotated[Path, typer.Option(help="Folder of report, manifest, tables and figures.")],
    cohort: Annotated[
        Path | None, typer.Option(help="Folder: clinical.csv, DICOM US and SEG.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="CSV: id, label, and a column a feature.")
    ] = None,
    external: Annotated[
        Path | None, typer.Option(help="With --table: CSV of the second cohort.")
    ] = None,
    mode: Annotated[
        Literal["strict", "paper", "both"],
        typer.Option(help="Nested, as the paper prints it, or nested with the gap to it."),
    ] = "both",
    title: Annotated[str, typer.Option(help="Of the report.")] = "CRDL study",
    readers: Annotated[
        Path | None, typer.Option(help="CSV of readers' calls: reader, id, aided, call.")
    ] = None,
    backbone: Annotated[
        Path | None, typer.Option(help="Backbone weights; without them, the shipped ones.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Folds, searches and bootstrap.")] = 1,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0 uses every core.")] = 0,
    backend: Annotated[
        str | None,
        typer.Option(help="Where cases are measured: loky, threading, dask,scheduler_host=..."),
    ] = None,
    drop_unstable: Annotated[
        bool, typer.Option(help="Leave out features a second reader's outline changes.")
    ] = False,
    harmonise: Annotated[bool, typer.Option(help="ComBat between sites, in the folds.")] = False,
    learning_curve: Annotated[bool, typer.Option(help="Repeat on parts of the cohort.")] = False,
    importance: Annotated[bool, typer.Option(help="Permutation importance.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the study: nine models cross-validated and external, statistics, report."""
    from models.bundle import Bundle  # noqa: PLC0415 - numpy on demand
    from models.study.command import StudyFiles, write_study  # noqa: PLC0415 - scikit-learn
    from models.study.run import StudyOptions  # noqa: PLC0415

    if (cohort is None) == (table is None):
        raise typer.BadParameter("give --cohort or --table, one of them")
    if external is not None and table is None:
        raise typer.BadParameter("--external goes with --table; a cohort marks it in its table")
    weights = backbone or (Bundle.load("simulated").backbone if cohort is not None else None)
    options = StudyOptions(
        title=title,
        mode=mode,
        seed=seed,
        jobs=jobs,
        drop_unstable=drop_unstable,
        harmonise=harmonise,
        learning_curve=learning_curve,
        importance=importance,
    )
    files = StudyFiles(cohort, table, external, readers, weights, backend)
    with progress_bar("study") as report:
        written = write_study(files, options, out, report)
    for warning in written.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    manifest = written.result.manifest
    if as_json:
        print_json(manifest)
        return
    print_rows(
        [_row(name, one) for name, one in manifest["models"].items()], COLUMNS, as_json=False
    )
    for name, reason in manifest["absent"].items():
        print(f"{name}: {reason}")
    print(f"written to {out}")


def _row(name: str, model: Mapping[str, Any]) -> dict[str, str]:
    inside, outside = model["cross_validated"], model["external"]
    low, high = inside["auc_ci"]
    return {
        "model": name,
        "auc": f"{inside['auc']:.3f}",
        "auc ci": f"{low:.3f}-{high:.3f}",
        "external auc": f"{outside['auc']:.3f}" if outside else "",
        **{key: f"{inside[key]:.3f}" for key in ("sensitivity", "specificity", "threshold")},
    }
