"""Reports against the validators and readers that others wrote."""

import json
import os
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import pytest
from pydicom import dcmread
from pydicom.sr.codedict import codes

from node.case import Refusal, SemanticFinding
from node.config import ReportSettings
from node.report import ReportRequest, build_report
from tests.peers import require
from tests.report_fixtures import a_request, a_result, an_image
from tests.validators.pixelmed import errors, validate

pytestmark = pytest.mark.peers

# dcmtk 3.6.7 checks no value representation in UTF-8 and says so for every such file.
UTF8_UNCHECKED = "W: The VR checker does not support this Specific Character Set: ISO_IR 192"


def _japanese() -> ReportRequest:
    image = an_image()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    return a_request(
        image, (replace(a_result(image), case=replace(a_result(image).case, label="腫瘤")),)
    )


def _fallback() -> ReportRequest:
    result = a_result(an_image())
    finding = replace(
        result.finding,
        model="Clinic+DL",
        fallback_reason="CRDL needs clinical_flow, which is missing",
        semantic={
            **result.finding.semantic,
            "flow_grade": SemanticFinding(None, "", "not assessed"),
        },
    )
    evidence = replace(result.evidence, prior_shift=0.05, out_of_distribution=True, inferred=True)
    return a_request(results=(replace(result, finding=finding, evidence=evidence),))


def _unforeseen_refusal() -> ReportRequest:
    result = a_result(an_image(), refused=True)
    refusal = Refusal("a-reason-that-nobody-listed", "Send the case again.")
    blind = replace(result.evidence, seg_frame_number=None, picture=None)
    return a_request(
        results=(replace(result, finding=replace(result.finding, refusal=refusal), evidence=blind),)
    )


def _three() -> ReportRequest:
    image = an_image()
    results = (a_result(image, 1), a_result(image, 2, refused=True), a_result(image, 3))
    predecessor = ("1.2.840.10008.5.1.4.1.1.88.34", "2.25.71", "2.25.72", "2.25.1001")
    return replace(a_request(image, results), generation=2, predecessor=predecessor)


def _mixed() -> ReportRequest:
    """Everything that a tree can hold in one report, for PixelMed takes its time for each file."""
    clip = an_image(frames=4)
    assessed, fallback, refused = a_result(clip, 1), a_result(clip, 2), a_result(clip, 3)
    other, unforeseen = _fallback().findings[0], _unforeseen_refusal().findings[0]
    fallback = replace(
        fallback,
        finding=replace(other.finding, case=fallback.case.name),
        evidence=replace(fallback.evidence, prior_shift=0.05, inferred=True),
    )
    refused = replace(refused, finding=replace(unforeseen.finding, case=refused.case.name))
    predecessor = ("1.2.840.10008.5.1.4.1.1.88.34", "2.25.71", "2.25.72", "2.25.1001")
    request = a_request(clip, (assessed, fallback, refused))
    return replace(request, generation=2, predecessor=predecessor)


def _plain() -> ReportRequest:
    request = a_request()
    settings = ReportSettings(sop_class="comprehensive", title="imaging")
    return replace(request, settings=settings, bundle=replace(request.bundle, simulated=False))


@pytest.fixture(scope="module")
def written_reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    folder = tmp_path_factory.mktemp("reports")
    requests = {
        "still": a_request(),
        "clip": a_request(an_image(frames=4)),
        "three": _three(),
        "mixed": _mixed(),
        "fallback": _fallback(),
        "refusal": _unforeseen_refusal(),
        "japanese": _japanese(),
        "comprehensive": _plain(),
    }
    written: dict[str, list[Path]] = {}
    for name, request in requests.items():
        written[name] = []
        for number, each in enumerate(build_report(request)):
            path = folder / f"{name}-{number}-{each.kind}.dcm"
            path.write_bytes(each.data)
            written[name].append(path)
    return written


def srs(written_reports: dict[str, list[Path]]) -> list[Path]:
    return [paths[0] for paths in written_reports.values()]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, **environment},
    )


def test_dciodvfy_finds_no_error_in_any_object(written_reports: dict[str, list[Path]]) -> None:
    validator = require("dciodvfy")
    for path in (path for paths in written_reports.values() for path in paths):
        said = run(validator, "-new", path)
        output = said.stdout + said.stderr
        assert "SRIOD" in output or "SR" in output or "SCImage" in output, path.name
        assert "Error" not in output, f"{path.name}: {output}"


@pytest.mark.bench  # the handful of test_validated_cases.py is checked in every run
def test_pixelmed_finds_no_error(written_reports: dict[str, list[Path]]) -> None:
    asked = [written_reports[name][0] for name in ("mixed", "comprehensive", "refusal")]
    said = validate(asked)
    assert said.keys() == set(asked)
    for path, text in said.items():
        assert errors(text) == [], path.name


def test_pixelmed_still_finds_an_error_where_there_is_one(
    written_reports: dict[str, list[Path]], tmp_path: Path
) -> None:
    broken = dcmread(written_reports["refusal"][0])
    del broken.ContentSequence[0]  # the language of the report is required, TID 1500 row 2
    broken.ContentSequence = [
        item for item in broken.ContentSequence if item.ValueType != "CONTAINER"
    ]
    broken.save_as(tmp_path / "broken.dcm")
    (text,) = validate([tmp_path / "broken.dcm"]).values()
    assert errors(text)


def test_dsrdump_reads_every_sr_without_warning(written_reports: dict[str, list[Path]]) -> None:
    for path in srs(written_reports):
        said = run(require("dsrdump"), "+Pc", path)
        warnings = {line for line in said.stderr.splitlines() if line.strip()}
        assert said.returncode == 0, path.name
        assert warnings <= {UTF8_UNCHECKED}, path.name


def test_dsr2html_shows_probability_class_and_every_feature(
    written_reports: dict[str, list[Path]],
) -> None:
    said = run(require("dsr2html"), "+U8", written_reports["still"][0])
    assert said.returncode == 0
    for expected in (
        "Probability of cancer",
        "83.10",
        "Class at operating point",
        "Malignant",
        "Diameter",
        "32.0",
        "Adler grade 2-3",
        "Irregular",
        "Poorly defined",
        "Inhomogeneous",
        "FOR RESEARCH USE ONLY",
        "SIMULATED MODEL - NOT FOR DIAGNOSIS",
        "operating point of 42.0 %",
        "Training prevalence of malignancy: 38.4 %",
    ):
        assert expected in said.stdout, expected


def test_dsr2html_shows_a_refusal(written_reports: dict[str, list[Path]]) -> None:
    said = run(require("dsr2html"), "+U8", written_reports["refusal"][0])
    assert "Not assessed" in said.stdout
    assert "Send the case again." in said.stdout
    assert "Probability of cancer" not in said.stdout


def test_dcmtk_reads_a_japanese_name_and_label(written_reports: dict[str, list[Path]]) -> None:
    path = written_reports["japanese"][0]
    assert "山田^太郎" in run(require("dcmdump"), path).stdout
    said = run(require("dsr2html"), "+U8", path)
    assert "腫瘤" in said.stdout


def test_dcmqi_reads_the_measurements(
    written_reports: dict[str, list[Path]], tmp_path: Path
) -> None:
    out = tmp_path / "measurements.json"
    reader = require("tid1500reader")
    said = run(reader, "--inputDICOM", written_reports["three"][0], "--outputMetadata", out)
    assert said.returncode == 0, said.stderr
    groups = json.loads(out.read_text("utf-8"))["Measurements"]
    first = {
        item["quantity"]["CodeMeaning"]: item["value"] for item in groups[0]["measurementItems"]
    }
    assert first == {"Probability of cancer": "83.10", "Diameter": "32.0"}
    assert {group["TrackingUniqueIdentifier"] for group in groups} == {
        "2.25.3001",
        "2.25.3002",
        "2.25.3003",
    }


def test_highdicom_reads_every_value_again(written_reports: dict[str, list[Path]]) -> None:
    dataset = dcmread(BytesIO(written_reports["clip"][0].read_bytes()))
    report = hd.sr.Comprehensive3DSR.from_dataset(dataset).content
    first, second = report.get_planar_roi_measurement_groups(tracking_uid="2.25.3001")
    numbers = {item.name: item.value for item in first.get_measurements()}
    words = {item.name: item.value for item in first.get_qualitative_evaluations()}
    assert numbers[codes.DCM.ProbabilityOfCancer] == pytest.approx(83.10429, rel=1e-15)
    assert numbers[codes.SCT.Diameter] == 32.04
    assert words[codes.DCM.BorderDefinition] == codes.SCT.PoorlyDefined
    assert words[codes.DCM.EchoPattern] == codes.DCM.Inhomogeneous
    source = first.referenced_segmentation_frame
    assert source is not None
    assert source.source_image_for_segmentation.referenced_frame_numbers == [3]
    assert second.roi is not None
    assert second.roi.value.shape == (49, 2)
