"""The simulated cohort on disk: one folder of DICOM a case, and the clinical table."""

import csv
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from models.simulation.case import SimulatedCase, second_look, simulate_case
from models.simulation.dicom_seg import reader_segmentation
from models.simulation.dicom_sr import reader_report
from models.simulation.dicom_us import clip, colour_image, grey_image
from models.simulation.reader_study import unaided_suspicion
from models.simulation.settings import SimulationError, design

TABLE = "clinical.csv"
AGAIN = "again.csv"
"""What the first reader outlined a second time: id, seg."""

Row = dict[str, str | int | float]
Progress = Callable[[int, int], None]
"""Called after each case with (cases done, cases in all)."""


def split_sites(cases: int) -> tuple[int, int]:
    """How many cases each site gives: 516 and 78 of 594, other sizes in proportion.

    Raises:
        SimulationError: if `cases` is not positive.
    """
    if cases < 1:
        raise SimulationError(f"a cohort has at least one case, not {cases}")
    population = design("population")
    training, external = population["training"], population["external"]
    second = round(cases * external / (training + external))
    return cases - second, second


def _members(cases: int) -> list[tuple[int, int]]:
    """(index, site) of every case, indices from 1 within each site."""
    return [
        (index, site)
        for site, count in enumerate(split_sites(cases), start=1)
        for index in range(1, count + 1)
    ]


def _row(case: SimulatedCase) -> Row:
    row: Row = {
        "id": case.id,
        "patient": f"SIM-{case.id}",
        "site": case.site,
        "cohort": "training" if case.site == 1 else "external",
        "vendor": case.vendor,
        "label": case.label,
        "histology": case.histology,
        "intermediate": int(case.intermediate),
        "age": case.age,
        "sex": case.sex,
        "true_diameter_mm": round(case.diameter_mm, 2),
        "true_adler": case.adler,
        "grey": f"{case.id}/grey.dcm",
        "colour": f"{case.id}/colour.dcm",
        "clip": "" if case.clip is None else f"{case.id}/clip.dcm",
    }
    for reading in case.readings:
        who, read = f"reader{reading.reader}", reading.semantics
        row |= {
            f"{who}_diameter_mm": read.diameter_mm,
            f"{who}_adler": read.adler,
            f"{who}_flow": read.flow,
            f"{who}_morphology": int(read.irregular),
            f"{who}_boundary": int(read.unclear),
            f"{who}_echo": int(read.uneven),
            f"{who}_suspicion": round(unaided_suspicion(case, reading.reader), 4),
            f"{who}_seg": f"{case.id}/seg-{who}.dcm",
        }
    return row


def write_case(case: SimulatedCase, folder: Path, *, readings: bool = False) -> Row:
    """Write one case's DICOM objects into a folder of its own.

    Args:
        case: the case.
        folder: where; made if it is not there.
        readings: write each reader's reading as an SR too.

    Returns:
        The case's row of the clinical table, paths relative to the folder's parent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    grey, colour = grey_image(case), colour_image(case)
    objects = {"grey": grey, "colour": colour}
    if case.clip is not None:
        objects["clip"] = clip(case)
    for reading in case.readings:
        who = f"reader{reading.reader}"
        seg = reader_segmentation(case, reading, grey, colour)
        objects[f"seg-{who}"] = seg
        if readings:
            objects[f"reading-{who}"] = reader_report(case, reading, grey, colour, seg)
    if _is_looked_at_again(case):
        objects["seg-reader1-again"] = reader_segmentation(
            case, second_look(case, 1), grey, colour, look=2
        )
    for name, ds in objects.items():
        ds.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return _row(case) | (_reading_columns(case) if readings else {})


def _is_looked_at_again(case: SimulatedCase) -> bool:
    """Tell whether the first reader outlines it twice: the paper's 50 lesions (section 2.5)."""
    return case.site == 1 and case.index <= design("reading")["outlined_again"]


def _reading_columns(case: SimulatedCase) -> Row:
    who = [f"reader{reading.reader}" for reading in case.readings]
    return {f"{reader}_reading": f"{case.id}/reading-{reader}.dcm" for reader in who}


def _simulate_and_write(member: tuple[int, int], seed: int, out: Path, *, readings: bool) -> Row:
    index, site = member
    case = simulate_case(index, seed, site)
    return write_case(case, out / case.id, readings=readings)


def _rows(
    members: list[tuple[int, int]], seed: int, out: Path, workers: int, *, readings: bool
) -> Iterator[Row]:
    task = partial(_simulate_and_write, seed=seed, out=out, readings=readings)
    if workers == 1:
        yield from map(task, members)
        return
    # spawn: a fork of a process that has threads may hang
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(task, members)


def write_cohort(
    cases: int,
    seed: int,
    out: Path,
    jobs: int = 0,
    progress: Progress | None = None,
    *,
    readings: bool = False,
) -> Path:
    """Simulate a cohort and write it; the same arguments write the same bytes.

    Each case has a folder <id>/ with grey.dcm, colour.dcm, now and then clip.dcm, and
    seg-reader1.dcm and seg-reader2.dcm, and if asked reading-reader1.dcm and
    reading-reader2.dcm; `clinical.csv` beside the folders lists them all. The first 50 cases of
    site 1 also have seg-reader1-again.dcm, listed in `again.csv`.

    Args:
        cases: how many cases; 594 gives the paper's 516 training and 78 external.
        seed: seed of the cohort, not negative.
        out: folder to write to, made if it is not there.
        jobs: processes; 0 takes one a core, and no more than one a case.
        progress: called after each case with (done, all).
        readings: write what each reader read as an SR too, named in the table's last columns.

    Returns:
        Path of the clinical table.

    Raises:
        SimulationError: for a count or a seed out of range.
    """
    members = _members(cases)
    out.mkdir(parents=True, exist_ok=True)
    workers = min(jobs or len(os.sched_getaffinity(0)), cases)
    rows: list[Row] = []
    for row in _rows(members, seed, out, workers, readings=readings):
        rows.append(row)
        if progress is not None:
            progress(len(rows), cases)
    outlined = (f"{row['id']}/seg-reader1-again.dcm" for row in rows)
    again: list[Row] = [
        {"id": row["id"], "seg": seg}
        for row, seg in zip(rows, outlined, strict=True)
        if (out / seg).is_file()
    ]
    _write_table(out / AGAIN, again)
    return _write_table(out / TABLE, rows)


def _write_table(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
