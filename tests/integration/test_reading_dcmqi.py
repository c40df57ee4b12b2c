"""A reading as 3D Slicer writes it: dcmqi's own program makes the report."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pydicom
import pytest

from models.simulation.case import simulate_case
from models.simulation.cohort import write_case
from sr_templates.readings import read_report
from tests.peers import require


@pytest.fixture(scope="module")
def a_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    write_case(simulate_case(1, 1), folder)
    return folder


@pytest.mark.peers
def test_a_report_that_dcmqi_wrote_is_read(a_case: Path, tmp_path: Path) -> None:
    """3D Slicer's QuantitativeReporting writes its reports with this program."""
    folder = a_case
    seg = pydicom.dcmread(folder / "seg-reader1.dcm", stop_before_pixels=True)
    grey = pydicom.dcmread(folder / "grey.dcm", stop_before_pixels=True)

    def coded(value: str, scheme: str, meaning: str) -> dict[str, str]:
        return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}

    meta = {
        "@schema": "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/sr-tid1500-schema.json#",
        "SeriesDescription": "Measurements",
        "SeriesNumber": "1001",
        "InstanceNumber": "1",
        "compositeContext": ["seg-reader1.dcm"],
        "imageLibrary": ["grey.dcm"],
        "observerContext": {"ObserverType": "PERSON", "PersonObserverName": "Reader^Slicer"},
        "VerificationFlag": "VERIFIED",
        "CompletionFlag": "COMPLETE",
        "activitySession": "1",
        "timePoint": "1",
        "Measurements": [
            {
                "TrackingIdentifier": "Lesion 1",
                "TrackingUniqueIdentifier": str(seg.SegmentSequence[0].TrackingUID),
                "ReferencedSegment": 1,
                "SourceSeriesForImageSegmentation": str(grey.SeriesInstanceUID),
                "segmentationSOPInstanceUID": str(seg.SOPInstanceUID),
                "Finding": coded("4147007", "SCT", "Mass"),
                "qualitativeEvaluations": [
                    {
                        "conceptCode": coded("112007", "DCM", "Border definition"),
                        "conceptValue": coded("300841009", "SCT", "Poorly defined"),
                    }
                ],
                "measurementItems": [
                    {
                        "value": "27.5",
                        "quantity": coded("81827009", "SCT", "Diameter"),
                        "units": coded("mm", "UCUM", "millimeter"),
                        "derivationModifier": coded("56851009", "SCT", "Maximum"),
                    }
                ],
            }
        ],
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    out = tmp_path / "sr.dcm"
    done = subprocess.run(
        [
            *(require("tid1500writer"), "--inputMetadata", tmp_path / "meta.json"),
            *("--inputImageLibraryDirectory", folder, "--inputCompositeContextDirectory", folder),
            *("--outputDICOM", out),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.exists(), done.stdout + done.stderr
    report = read_report(out)
    assert (report.reader, report.verified) == ("Reader^Slicer", True)
    (lesion,) = report.lesions
    assert lesion.features == {"maximum_diameter": 27.5, "boundary": "unclear"}
    assert (lesion.seg_uid, lesion.segment_number) == (seg.SOPInstanceUID, 1)
