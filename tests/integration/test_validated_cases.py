"""What the real pipeline writes for thirty varied cases, against the validators of others.

`make test` takes a handful of them; `make bench` (pytest -m bench) takes all.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes

from tests.peers import require
from tests.validators.cases import CASES, AnsweredCase, answer
from tests.validators.pixelmed import errors, validate

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1200)]

HANDFUL = ("still-1", "two-lesions-one-refused", "reading", "real-jpeg-clip")
# dcmtk 3.6.7 checks no value representation in UTF-8 and says so for every such file.
UTF8_UNCHECKED = "W: The VR checker does not support this Specific Character Set: ISO_IR 192"


@dataclass(frozen=True)
class Answers:
    """The answered cases by name, and what is asked of all of them."""

    cases: dict[str, AnsweredCase]

    @property
    def srs(self) -> dict[str, Path]:
        return {name: case.objects["sr"] for name, case in self.cases.items()}

    @property
    def objects(self) -> list[Path]:
        return [path for case in self.cases.values() for path in case.objects.values()]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(HANDFUL, id="handful"),
        pytest.param(tuple(CASES), id="all", marks=pytest.mark.bench),
    ],
)
def some_answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    names: Sequence[str] = request.param
    folder = tmp_path_factory.mktemp("answers")
    return Answers({name: answer(name, folder / name) for name in names})


def test_the_cases_are_thirty_and_as_varied_as_they_say() -> None:
    assert len(CASES) >= 30
    assert set(HANDFUL) <= CASES.keys()


def test_dciodvfy_finds_no_error_in_any_object(some_answers: Answers) -> None:
    validator = require("dciodvfy")
    for path in some_answers.objects:
        said = _run(validator, "-new", path)
        output = said.stdout + said.stderr
        assert output, path
        assert "Error" not in output, f"{path}: {output}"


def test_dsrdump_reads_every_report_without_warning(some_answers: Answers) -> None:
    for path in some_answers.srs.values():
        said = _run(require("dsrdump"), "+Pc", path)
        assert said.returncode == 0, path
        assert {line for line in said.stderr.splitlines() if line.strip()} <= {UTF8_UNCHECKED}


def test_pixelmed_finds_no_error_in_any_report(some_answers: Answers) -> None:
    said = validate(list(some_answers.srs.values()), timeout_s=1100)
    assert said.keys() == set(some_answers.srs.values())
    for path, text in said.items():
        assert errors(text) == [], path


def test_dcmqi_reads_every_measured_value(some_answers: Answers, tmp_path: Path) -> None:
    for name, case in some_answers.cases.items():
        out = tmp_path / f"{name}.json"
        reader = require("tid1500reader")
        said = _run(reader, "--inputDICOM", case.objects["sr"], "--outputMetadata", out)
        assert said.returncode == 0, f"{name}: {said.stderr}"
        read = {
            float(item["value"])
            for group in json.loads(out.read_text("utf-8"))["Measurements"]
            for item in group.get("measurementItems", [])
        }
        for result in case.results:
            if result.finding.probability is not None:
                expected = 100 * result.finding.probability
                assert any(value == pytest.approx(expected, abs=0.006) for value in read), name


def test_highdicom_reads_every_value_again(some_answers: Answers) -> None:
    for name, case in some_answers.cases.items():
        dataset = dcmread(case.objects["sr"])
        groups = _groups(dataset)
        for result in case.results:
            mine = groups[result.case.tracking_uid]
            numbers = {item.name: item.value for item in mine.get_measurements()}
            words = {item.name.meaning for item in mine.get_qualitative_evaluations()}
            finding = result.finding
            if finding.status == "refused":
                assert codes.DCM.ProbabilityOfCancer not in numbers, name
                continue
            assert numbers[codes.DCM.ProbabilityOfCancer] == pytest.approx(
                100 * finding.probability, rel=1e-15
            )
            diameter = finding.semantic["maximum_diameter"].value
            assert numbers[codes.SCT.Diameter] == pytest.approx(diameter, rel=1e-15)
            assert len(words) >= 5, name  # the class and four words


def _groups(
    dataset: Dataset,
) -> dict[str, hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Give the first measurement group of each tracking UID: the one with the values."""
    kind = {
        "1.2.840.10008.5.1.4.1.1.88.33": hd.sr.ComprehensiveSR,
        "1.2.840.10008.5.1.4.1.1.88.34": hd.sr.Comprehensive3DSR,
    }[dataset.SOPClassUID]
    found = kind.from_dataset(dataset).content.get_planar_roi_measurement_groups()
    groups: dict[str, hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations] = {}
    for group in found:
        groups.setdefault(str(group.tracking_uid), group)
    return groups


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",  # dsrdump cuts long texts in the middle of a character
        check=False,
        timeout=120,
    )
