"""A whole study with unmistakable patient data leaves none of it in any process's log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.acceptance.studies import a_study
from tests.attacks import body, element, spliced
from tests.node_process import RunningNode, a_node, crdl
from tests.raw_sender import AbortedError, RawSender
from tests.receive_fixtures import an_ultrasound
from tests.waiting import wait_for

PATIENT = {
    "PatientName": "Zzyzxqwv^Unmistakable",
    "PatientID": "QQ-7719-XK",
    "PatientBirthDate": "19370417",
    "AccessionNumber": "ACC55291X",
    "StudyDescription": "Sole of foot of Q",
    "ReferringPhysicianName": "Rafferzwick^A",
}
MARKS = ("Zzyzxqwv", "QQ-7719", "19370417", "ACC55291", "Sole of foot", "Rafferzwick")


def _spoiled() -> list[tuple[str, str, bytes]]:
    """Objects that libraries comment on, with the patient in values that fit no representation."""
    image = an_ultrasound(SOPInstanceUID="1.2.826.0.7.1", **PATIENT)
    wrong = [
        spliced(0x00100030, element(0x00100030, b"DA", b"19370417Zzyzxqwv"), image),
        spliced(0x00101020, element(0x00101020, b"DS", b"Zzyzxqwv"), image),
        spliced(0x00280010, element(0x00280010, b"US", b"Zzyzxqwv!"), image),
        spliced(0x00080005, element(0x00080005, b"CS", b"ISO_IR Zzyzxqwv"), image),
        body(image)[:-30],
    ]
    return [("US", "1.2.826.0.7.1", data) for data in wrong]


@pytest.fixture
def a_node_that_delivers_nowhere(tmp_path: Path) -> Iterator[RunningNode]:
    nowhere = {"name": "nowhere", "ae_title": "NOBODY", "host": "127.0.0.1", "port": 1}
    with a_node(tmp_path / "node", [nowhere]) as node:
        yield node


def test_no_log_line_names_the_patient(
    a_node_that_delivers_nowhere: RunningNode, tmp_path: Path
) -> None:
    node = a_node_that_delivers_nowhere
    good = a_study(tmp_path / "good", 1, **PATIENT)
    other = a_study(tmp_path / "other", 2, **PATIENT)
    seg = dcmread(other.seg)
    seg.PatientID = f"{PATIENT['PatientID']}-2"  # a mismatch: it is refused for that
    seg.save_as(other.seg)
    address = f"CRDL@127.0.0.1:{node.dicom_port}"
    crdl("send", *map(str, (*good.files, *other.files)), "--to", address)
    for kind, uid, data in _spoiled():
        try:
            with RawSender(("127.0.0.1", node.dicom_port)) as sender:
                sender.store(kind, uid, data)
                sender.release()
        except AbortedError:
            continue
    wait_for(
        lambda: [job["state"] for job in node.jobs()] == ["delivering"] * 2, node.log, 120, 0.3
    )
    findings = [node.job(job["id"])["findings"][0] for job in node.jobs()]
    assert {finding["status"] for finding in findings} == {"assessed", "refused"}
    doctor = node.crdl("doctor", check=False)
    node.stop()
    said = (node.folder / "node.log").read_text() + doctor.stdout + doctor.stderr
    assert "INFO" in said
    assert [mark for mark in MARKS if mark in said] == []
