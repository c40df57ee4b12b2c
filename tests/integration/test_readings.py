"""The round trip: a report comes, a radiologist reads, a new report comes that says so."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import httpx
import numpy as np
import pydicom
import pytest
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from models.simulation.case import simulate_case
from models.simulation.cohort import write_case
from node.jobs.outcomes import list_outcomes
from tests.node_process import RunningNode, a_node
from tests.peers import Orthanc, free_ports, orthanc, storescu

COMPREHENSIVE_3D = "1.2.840.10008.5.1.4.1.1.88.34"


@dataclass(frozen=True)
class Site:
    """A running node, the archive it reports to and a case without Doppler."""

    node: RunningNode
    archive: Orthanc
    folder: Path
    mllp_port: int

    def send(self, *paths: Path) -> None:
        storescu("127.0.0.1", self.node.dicom_port, list(paths))


@pytest.fixture(scope="module")
def a_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    write_case(simulate_case(1, 1), folder / "case")
    (mllp,) = free_ports(1)
    with orthanc(folder / "orthanc") as archive:
        destination = {
            "name": "pacs",
            "ae_title": archive.ae_title,
            "host": archive.host,
            "port": archive.dicom_port,
        }
        settings = f"[pairing]\ngrace_s = 0\n[reading]\nmllp_port = {mllp}"
        with a_node(folder / "node", [destination], settings) as node:
            yield Site(node, archive, folder / "case", mllp)


def grey_only(folder: Path) -> Path:
    """The reader's SEG without its colour segment, so that flow is measured nowhere."""
    seg = pydicom.dcmread(folder / "seg-reader1.dcm")
    grey = pydicom.dcmread(folder / "grey.dcm", stop_before_pixels=True)
    frames = [
        frame
        for frame in seg.PerFrameFunctionalGroupsSequence
        if frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        == grey.SOPInstanceUID
    ]
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)[:1]
    kept = frames[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert (len(frames), kept) == (1, 1)
    alone = hd.seg.Segmentation(
        source_images=[pydicom.dcmread(folder / "grey.dcm")],
        pixel_array=pixels.astype("uint8"),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[hd.seg.SegmentDescription.from_dataset(seg.SegmentSequence[0])],
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="A viewer",
        manufacturer_model_name="A viewer",
        software_versions="1",
        device_serial_number="1",
    )
    path = folder / "seg-alone.dcm"
    alone.save_as(path)
    return path


def a_reading(folder: Path) -> Path:
    """An SR as a viewer makes it: its own tracking UID, a line on the image, typed labels.

    OHIF's form: Long Axis of a bidirectional line with SCOORD, and a label in the Finding.
    """
    grey = pydicom.dcmread(folder / "grey.dcm")
    label = sr.CodedConcept(
        "CORNERSTONEFREETEXT",
        "CORNERSTONEJS",
        "Vascularity: 2-3; Border: poorly defined",
    )
    group: Dataset = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(hd.UID(), "Cornerstone3D:Bidirectional"),
        measurements=[
            sr.Measurement(
                sr.CodedConcept("G-A185", "SRT", "Long Axis"),
                6.4,
                codes.UCUM.Centimeter,
                referenced_coordinates=[
                    sr.CoordinatesForMeasurement(
                        "POLYLINE",
                        np.array([[10.0, 10.0], [60.0, 10.0]]),
                        sr.SourceImageForRegion(grey.SOPClassUID, grey.SOPInstanceUID),
                    )
                ],
            )
        ],
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.DCM.Finding, label)],
    )
    person = sr.PersonObserverIdentifyingAttributes(name="Doe^Jane")
    context = sr.ObservationContext(
        observer_person_context=sr.ObserverContext(codes.DCM.Person, person)
    )
    report = sr.Comprehensive3DSR(
        evidence=[grey],
        content=sr.MeasurementReport(context, codes.SCT.ImagingProcedure, [group])[0],
        series_instance_uid=hd.UID(),
        series_number=10,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="A viewer",
        is_complete=True,
    )
    path = folder / "reading.dcm"
    report.save_as(path)
    return path


def our_reports(archive: Orthanc) -> list[Dataset]:
    files = archive.of_class(COMPREHENSIVE_3D)
    found = [pydicom.dcmread(io.BytesIO(data)) for data in files]
    return sorted(found, key=lambda report: int(report.InstanceNumber))


def finding(node: RunningNode, generation: int) -> dict[str, Any]:
    (job,) = [job for job in node.jobs() if job["generation"] == generation]
    (only,) = node.job(job["id"])["findings"]
    return dict(only)


def test_a_viewers_reading_changes_the_report_as_it_should(a_site: Site) -> None:
    seg = grey_only(a_site.folder)
    a_site.send(a_site.folder / "grey.dcm", seg)
    a_site.node.settled(1)
    before = finding(a_site.node, 1)
    assert before["semantic"]["flow_grade"]["provenance"] == "not assessed"
    assert before["fallback_reason"]

    a_site.send(a_reading(a_site.folder))
    a_site.node.settled(2)
    after = finding(a_site.node, 2)

    read = {"value": 64.0, "unit": "mm", "provenance": "read", "confidence": None}
    assert after["semantic"]["maximum_diameter"] == pytest.approx(read)
    assert after["semantic"]["flow_grade"]["value"] == "2-3"
    assert after["semantic"]["boundary"]["value"] == "unclear"
    for name in ("morphology", "internal_echo"):
        assert after["semantic"][name] == before["semantic"][name]
    assert after["probability"] != before["probability"]
    assert after["features_sha256"] != before["features_sha256"]
    assert after["fallback_reason"] == ""

    archived = {str(report.SOPInstanceUID): report for report in our_reports(a_site.archive)}
    jobs = sorted(a_site.node.jobs(), key=lambda job: job["generation"])
    uids = [
        next(
            r["sop_instance_uid"]
            for r in a_site.node.job(job["id"])["reports"]
            if r["kind"] == "sr"
        )
        for job in jobs
    ]
    second = archived[uids[1]]
    (study,) = second.PredecessorDocumentsSequence
    reference = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == uids[0]
    text = str(second)
    assert "Read by a person" in text
    assert "Doe" in text
    assert "Read by a person" not in str(archived[uids[0]])


def test_pathology_comes_in_over_mllp_http_and_as_a_table(a_site: Site, tmp_path: Path) -> None:
    patient = str(pydicom.dcmread(a_site.folder / "grey.dcm", stop_before_pixels=True).PatientID)
    message = (
        "MSH|^~\\&|LAB|HOSP|CRDL|NODE|20260102||ORU^R01^ORU_R01|42|P|2.5.1\r"
        f"PID|1||{patient}^^^HOSP\rOBR|1||F77|22637-3^Report^LN|||20260101\r"
        "OBX|1|CWE|22637-3^Diagnosis^LN||8850/3^Liposarcoma^ICDO3||||||F\r"
    )
    with socket.create_connection(("127.0.0.1", a_site.mllp_port), 10) as line:
        for text, answer in ((message, "AA|42"), (message.replace("|42|", "|43|"), "AA|43")):
            line.sendall(b"\x0b" + text.encode() + b"\x1c\r")
            received = b""
            while not received.endswith(b"\x1c\r"):
                received += line.recv(4096)
            assert f"MSA|{answer}" in received.decode()
    row = {"patient_id": patient, "malignant": 1, "date": "2026-01-01"}
    posted = httpx.post(f"{a_site.node.web}/outcomes", json=row, timeout=30, trust_env=False)
    assert posted.json()["outcomes"][0]["standing"] == "new"
    table = tmp_path / "outcomes.csv"
    table.write_text(
        f"patient_id,malignant,date\n{patient},1,2026-01-01\nnobody,0,\n", encoding="utf-8"
    )
    done = a_site.node.crdl("outcomes", "import", str(table), "--json")
    assert '"known": 1' in done.stdout
    assert '"no_case": 1' in done.stdout
    kept = list_outcomes(a_site.node.database())
    cases = {outcome["patient_id"]: outcome["case_name"] for outcome in kept}
    assert cases["nobody"] == ""
    assert cases[patient].endswith("#1")
    assert [outcome["malignant"] for outcome in kept] == [False, True, True]


def test_the_node_is_watched_with_what_came_back(a_site: Site, tmp_path: Path) -> None:
    done = a_site.node.crdl("models", "monitor", "--json", "--out", str(tmp_path))
    seen = json.loads(done.stdout)
    assert seen == json.loads((tmp_path / "monitor.json").read_text())
    assert (tmp_path / "monitor.png").exists()
    assert seen["bundle"]["name"] == "simulated"
    assert (seen["cases"], seen["with_outcome"]["numerator"]) == (1, 1)
    assert seen["outcomes_by_kind"] == {"pathology": 1}
    assert seen["auc"] is None
    assert any("one class" in note for note in seen["notes"])
