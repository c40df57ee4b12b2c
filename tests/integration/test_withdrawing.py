"""A person takes a report back: every archive that got it is told, with the same guarantees."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import select

from node.audit.tables import LedgerReport
from node.audit.trail import Trail
from node.errors import JobError
from node.jobs.stages import Receipt, Wish
from node.jobs.withdrawing import Withdrawer, list_reports, show_report
from tests.acceptance.studies import a_study
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import Node, a_database, a_node, a_note
from tests.node_process import a_node as a_process
from tests.peers import orthanc, storescu

GREY = "1.2.3.1"
KO = "1.2.840.10008.5.1.4.1.1.88.59"


@pytest.fixture(scope="module")
def the_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("withdrawing")
    wishes = (Wish("pacs"), Wish("archive"))
    with a_database("sqlite", folder) as url, a_node(url, folder, "one", *wishes) as node:
        yield node


@pytest.fixture
def a_running_node(the_node: Node) -> Node:
    the_node.anew()
    return the_node


def a_report(node: Node) -> str:
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY, tracking_uid="1.9")))
    (job,) = node.settles("done")
    (report,) = (one for one in list_reports(node.database) if one["job"] == job["id"])
    return str(report["id"])


def withdrawer(node: Node) -> Withdrawer:
    return Withdrawer(node.database, Trail("person:eve"), node.engine, node.blobs, a_note)


def notes(node: Node) -> list[str]:
    """Who was sent a note, and what it says."""
    return sorted(
        f"{name}: {text}"
        for name, parcels in node.rooms.deliveries
        for parcel in parcels
        if (text := Path(parcel.path).read_text()).startswith("withdrawn")
    )


def test_every_destination_that_got_a_report_is_told(a_running_node: Node) -> None:
    report = a_report(a_running_node)
    assert withdrawer(a_running_node).withdraw(report, "wrong patient") == "delivering"
    a_running_node.settles("done")
    shown = show_report(a_running_node.database, report)
    text = f"withdrawn {shown['sr']}"
    assert notes(a_running_node) == [f"archive: {text}", f"pacs: {text}"]
    assert (shown["state"], shown["reason"], shown["by"]) == (
        "withdrawn",
        "wrong patient",
        "person:eve",
    )
    assert {part["state"] for part in shown["objects"]} == {"proven"}


def test_who_withdrew_what_and_why_is_in_the_ledger(a_running_node: Node) -> None:
    report = a_report(a_running_node)
    withdrawer(a_running_node).withdraw(report, "wrong patient")
    a_running_node.settles("done")
    uid = show_report(a_running_node.database, report)["sr"]
    with a_running_node.database.connect() as connection:
        row = connection.execute(
            select(LedgerReport.__table__).where(
                LedgerReport.subject == uid, LedgerReport.event == "withdrawn"
            )
        ).one()
    assert (row.actor, row.detail["reason"]) == ("person:eve", "wrong patient")


def test_withdrawing_twice_changes_nothing(a_running_node: Node) -> None:
    report = a_report(a_running_node)
    withdrawer(a_running_node).withdraw(report, "wrong patient")
    a_running_node.settles("done")
    before = show_report(a_running_node.database, report)
    assert withdrawer(a_running_node).withdraw(report, "another reason") == "done"
    assert show_report(a_running_node.database, report) == before
    assert len(notes(a_running_node)) == 2


def test_a_note_that_does_not_get_through_is_tried_again(a_running_node: Node) -> None:
    report = a_report(a_running_node)
    tried = len(a_running_node.rooms.deliveries)
    a_running_node.rooms.receipts = lambda parcel, number: Receipt(
        parcel.sop_instance_uid, "failed" if number <= tried + 2 else "proven", "down"
    )
    withdrawer(a_running_node).withdraw(report, "wrong patient")
    a_running_node.settles("done")
    assert len(notes(a_running_node)) >= 4


def test_a_withdrawn_report_is_nobodys_predecessor(a_running_node: Node) -> None:
    withdrawer(a_running_node).withdraw(a_report(a_running_node), "wrong patient")
    a_running_node.settles("done")
    a_running_node.receive(a_seg(a_segment(1, GREY, tracking_uid="1.9"), uid="1.2.3.10"))
    a_running_node.settles("done", jobs=2)
    assert a_running_node.rooms.requests[-1].predecessor is None


def test_an_unknown_report_and_a_missing_reason_are_named(a_running_node: Node) -> None:
    with pytest.raises(JobError, match=r"there is no report 2\.25\.9"):
        withdrawer(a_running_node).withdraw("2.25.9", "because")
    with pytest.raises(JobError, match="say why"):
        withdrawer(a_running_node).withdraw(a_report(a_running_node), " ")


@pytest.mark.peers
def test_orthanc_gets_every_companion_and_then_the_note_in_the_same_study(tmp_path: Path) -> None:
    study = a_study(tmp_path / "study", 1)
    with orthanc(tmp_path / "orthanc") as pacs:
        destination = {
            "name": "pacs",
            "ae_title": pacs.ae_title,
            "host": pacs.host,
            "port": pacs.dicom_port,
            "companions": ["sc", "pdf", "seg", "gsps", "ko"],
        }
        with a_process(tmp_path / "node", [destination]) as node:
            storescu("127.0.0.1", node.dicom_port, study.files)
            (job,) = node.settled(1)
            objects = node.job(job["id"])["reports"]
            kinds = sorted(one["kind"].partition("-")[0] for one in objects)
            assert kinds == ["gsps", "ko", "pdf", "sc", "seg", "sr"]
            assert all(len(pacs.instances(one["sop_instance_uid"])) == 1 for one in objects)
            assert pacs.studies() == [study.study_uid]

            for _ in range(2):
                uid = next(one["sop_instance_uid"] for one in objects if one["kind"] == "sr")
                node.crdl("reports", "withdraw", uid, "--reason", "test")
                node.settled(1)
            made = [dcmread(BytesIO(file)) for file in pacs.of_class(KO)]
            (note,) = (one for one in made if one.ConceptNameCodeSequence[0].CodeValue == "113037")
            named = {
                one.ReferencedSOPInstanceUID
                for item in note.ContentSequence
                for one in item.get("ReferencedSOPSequence", ())
            }
            assert named == {one["sop_instance_uid"] for one in objects}
            assert pacs.studies() == [study.study_uid]
