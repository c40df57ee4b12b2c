"""Delivery to Debian's Orthanc, by DIMSE and by STOW-RS, proven by its own queries."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import SecondaryCaptureImageStorage, UltrasoundMultiFrameImageStorage

from node.config import DestinationSettings
from node.deliver.deliver import deliver
from node.deliver.echo import echo
from node.deliver.package import Outgoing, read_outgoing
from node.deliver.send import SendResult, send_files
from tests.deliver_fixtures import SETTINGS, an_archive, an_object, dataset_bytes
from tests.peers import Orthanc, free_ports, orthanc, storescu
from tests.waiting import wait_for

pytestmark = pytest.mark.peers

NOTHING_SENT: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def an_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as peer:
        yield peer


@pytest.fixture(params=["dimse", "dicomweb"])
def a_destination(an_orthanc: Orthanc, request: pytest.FixtureRequest) -> DestinationSettings:
    if request.param == "dicomweb":
        return DestinationSettings(name="web", protocol="dicomweb", url=an_orthanc.dicomweb_url)
    return DestinationSettings(
        name="pacs", ae_title="ORTHANC", host=an_orthanc.host, port=an_orthanc.dicom_port
    )


@pytest.fixture
def two_objects(an_orthanc: Orthanc, tmp_path: Path) -> Iterator[list[Outgoing]]:
    objects = [
        an_object(tmp_path),
        an_object(tmp_path, 2, sop_class=SecondaryCaptureImageStorage),
    ]
    yield objects
    for item in objects:
        an_orthanc.forget(item.sop_instance_uid)


def test_what_is_delivered_stands_in_the_pacs_byte_for_byte(
    an_orthanc: Orthanc, a_destination: DestinationSettings, two_objects: list[Outgoing]
) -> None:
    outcome = deliver(a_destination, two_objects, NOTHING_SENT, SETTINGS)
    assert outcome.proven, outcome
    for item in two_objects:
        assert dataset_bytes(an_orthanc.file(item.sop_instance_uid)) == dataset_bytes(
            item.path.read_bytes()
        )


def test_a_second_delivery_duplicates_nothing_and_changes_no_byte(
    an_orthanc: Orthanc, a_destination: DestinationSettings, two_objects: list[Outgoing]
) -> None:
    deliver(a_destination, two_objects, NOTHING_SENT, SETTINGS)
    before = [an_orthanc.file(item.sop_instance_uid) for item in two_objects]
    sent = frozenset(item.sop_instance_uid for item in two_objects)
    assert deliver(a_destination, two_objects, sent, SETTINGS).proven
    assert deliver(a_destination, two_objects, NOTHING_SENT, SETTINGS).proven
    assert [an_orthanc.file(item.sop_instance_uid) for item in two_objects] == before
    assert [len(an_orthanc.instances(item.sop_instance_uid)) for item in two_objects] == [1, 1]


def test_what_the_pacs_has_lost_is_sent_again(
    an_orthanc: Orthanc, a_destination: DestinationSettings, two_objects: list[Outgoing]
) -> None:
    first, second = two_objects
    deliver(a_destination, two_objects, NOTHING_SENT, SETTINGS)
    an_orthanc.forget(first.sop_instance_uid)
    sent = frozenset({first.sop_instance_uid, second.sop_instance_uid})
    assert deliver(a_destination, two_objects, sent, SETTINGS).proven
    assert len(an_orthanc.instances(first.sop_instance_uid)) == 1


def test_the_pacs_answers_an_echo(a_destination: DestinationSettings) -> None:
    assert 0 < echo(a_destination, SETTINGS) < 5000


def test_a_pacs_that_starts_late_gets_its_objects_in_a_later_attempt(tmp_path: Path) -> None:
    ports = tuple(free_ports(2))
    destination = DestinationSettings(
        name="pacs", ae_title="ORTHANC", host="127.0.0.1", port=ports[0]
    )
    objects = [an_object(tmp_path)]
    (item,) = deliver(destination, objects, NOTHING_SENT, SETTINGS).objects
    assert item.state == "failed"
    with orthanc(tmp_path / "orthanc", ports=(ports[0], ports[1])):
        perhaps = frozenset({item.sop_instance_uid})
        assert deliver(destination, objects, perhaps, SETTINGS).proven


def test_files_and_folders_of_any_class_and_transfer_syntax_are_sent_together(
    an_orthanc: Orthanc, tmp_path: Path
) -> None:
    retired = an_object(tmp_path, 7, sop_class="1.2.840.10008.5.1.4.1.1.6")
    (tmp_path / "notes.txt").write_text("left out of a folder")
    named = tmp_path.with_suffix(".txt")
    named.write_text("refused if named")
    clip = Path(get_testdata_file("examples_ybr_color.dcm"))
    seen: list[SendResult] = []
    results = send_files(
        [tmp_path, clip, named],
        "ORTHANC",
        an_orthanc.host,
        an_orthanc.dicom_port,
        "TEST",
        seen.append,
    )
    assert seen == results
    assert {result.path: result.stored for result in results} == {
        named: False,
        retired.path: True,
        clip: True,
    }
    assert "is no DICOM Part 10 file" in next(r.detail for r in results if r.path == named)
    uid = read_outgoing(clip).sop_instance_uid
    # Orthanc writes this file's sequences with other lengths, so the content is compared.
    assert dcmread(BytesIO(an_orthanc.file(uid))) == dcmread(clip)
    assert an_orthanc.count(UltrasoundMultiFrameImageStorage) == 1


def test_a_pacs_forwards_what_it_gets_where_a_script_says(tmp_path: Path) -> None:
    script = tmp_path / "forward.lua"
    script.write_text(
        "function OnStoredInstance(instance, tags, metadata, origin)\n"
        '  SendToModality(instance, "elsewhere")\n'
        "end\n"
    )
    report = an_object(tmp_path)
    with an_archive() as elsewhere:
        known = {"elsewhere": ("ELSEWHERE", "127.0.0.1", elsewhere.port)}
        with orthanc(tmp_path / "orthanc", lua=script, modalities=known) as peer:
            storescu(peer.host, peer.dicom_port, [report.path])
            wait_for(lambda: elsewhere.received)
    assert elsewhere.received == [
        (report.sop_instance_uid, dataset_bytes(report.path.read_bytes()))
    ]


def test_dcmtk_sends_to_the_pacs_too(an_orthanc: Orthanc, tmp_path: Path) -> None:
    seg_class = "1.2.840.10008.5.1.4.1.1.66.4"
    seg = an_object(tmp_path, 8, sop_class=seg_class)
    storescu(an_orthanc.host, an_orthanc.dicom_port, [seg.path], called_ae="ORTHANC")
    assert an_orthanc.count(seg_class) == 1
