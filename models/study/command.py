"""`crdl models study` without its command line: files in, a folder with the study out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.study.clinical_tables import clinical_tables
from models.study.cohort_input import read_cohort_material
from models.study.cost import Cost
from models.study.judged import primary
from models.study.material import Material, StudyInputError
from models.study.readers import (
    ReaderCalls,
    read_calls,
    reader_points,
    readers_table,
    reclassification_table,
)
from models.study.report import write_report
from models.study.report.errors import PdfError
from models.study.results import ModelResult, StudyResult, Table
from models.study.run import StudyOptions, run_study, write_manifest
from models.study.table_input import read_tables

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """What a study reads: a cohort, or a table with perhaps a second one.

    Attributes:
        cohort: Folder of `models.study.cohort`.
        table: CSV of `models.study.table_input`.
        external: CSV of the second cohort.
        readers: CSV of the readers' calls.
        backbone: Weights, for a cohort.
        backend: Where a cohort is measured, as `models.parallel` takes it.
    """

    cohort: Path | None = None
    table: Path | None = None
    external: Path | None = None
    readers: Path | None = None
    backbone: Path | None = None
    backend: str | None = None

    def __post_init__(self) -> None:
        if (self.cohort is None) == (self.table is None):
            raise StudyInputError("give a cohort or a table, one of them")


@dataclass(frozen=True, slots=True)
class Written:
    """A study that was written, and what could not be: one line each."""

    result: StudyResult
    warnings: tuple[str, ...]


def write_study(files: StudyFiles, options: StudyOptions, out: Path, progress: Progress) -> Written:
    """Run a study and write manifest.json, cost.json, report, tables and figures.

    Args:
        files: To read.
        options: What is asked for.
        out: Folder, made if it is not there.
        progress: Called with steps done and steps of the current stage.

    Raises:
        ModelsError: Something given cannot be used.
    """
    cost = Cost()
    if files.table is not None:
        with cost.stage("reading"):
            material = read_tables(files.table, files.external)
    else:
        assert files.cohort is not None  # noqa: S101 - one of both was given
        material = read_cohort_material(
            files.cohort,
            files.backbone,
            jobs=options.jobs,
            backend=files.backend,
            progress=progress,
            cost=cost,
        )

    calls = _calls(files.readers, material)
    if files.readers is not None:
        digest = hashlib.sha256(files.readers.read_bytes()).hexdigest()
        material = replace(material, inputs={**material.inputs, files.readers.name: digest})

    def tables(found: Material, models: Sequence[ModelResult]) -> Sequence[Table]:
        return (*clinical_tables(found, models), *_reader_tables(calls, models))

    result = run_study(material, options, cost, lambda _: progress, tables, reader_points(calls))
    write_manifest(result, cost, out)
    warnings = []
    with cost.stage("report"):
        try:
            write_report(result, out)
        except PdfError as error:  # the HTML report is there
            warnings.append(str(error))
    write_manifest(result, cost, out)
    return Written(result, tuple(warnings))


def _calls(path: Path | None, material: Material) -> tuple[ReaderCalls, ...]:
    if path is None:
        return ()
    if material.external is None:
        raise StudyInputError("--readers needs an external cohort: readers read that one")
    table = material.external.table
    return read_calls(path, dict(zip(table.ids, table.labels.tolist(), strict=True)))


def _reader_tables(
    calls: Sequence[ReaderCalls], models: Sequence[ModelResult]
) -> tuple[Table, ...]:
    if not calls:
        return ()
    return readers_table(calls, primary(models).external), reclassification_table(calls)
