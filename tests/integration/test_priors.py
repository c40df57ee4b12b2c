"""What our earlier reports said about a patient, and whose reports they are."""

from collections.abc import Iterator
from typing import Any

import pytest

from node.audit.trail import Trail
from node.jobs.stages import AssessmentRequest
from node.jobs.withdrawing import Withdrawer, list_reports
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import Node, a_database, a_node, a_note

GREY = "1.2.3.1"


@pytest.fixture(scope="module")
def the_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("priors")
    with a_database("sqlite", folder) as url, a_node(url, folder, "one", "pacs") as node:
        yield node


def a_study(node: Node, patient: str, date: str, **fields: Any) -> AssessmentRequest:
    """Send one lesion of a patient in a study of its own; return what was asked about it."""
    node.anew()
    same: dict[str, Any] = {"patient_id": patient, "study_date": date, **fields}
    node.receive(an_image(GREY, **same), a_seg(a_segment(1, GREY, tracking_uid="2.25.9"), **same))
    node.settles("done")
    return node.rooms.requests[-1]


def test_the_patients_earlier_study_is_told_with_its_lesion_and_bundle(the_node: Node) -> None:
    assert a_study(the_node, "P1", "20250101").priors == ()
    (prior,) = a_study(the_node, "P1", "20250601").priors
    assert (prior.date, prior.tracking_uid, prior.probability) == ("2025-01-01", "2.25.9", 0.7)
    assert (prior.bundle_name, prior.bundle_version) == ("b", "1")


def test_a_later_study_that_came_earlier_is_no_prior(the_node: Node) -> None:
    a_study(the_node, "P2", "20250601")
    assert a_study(the_node, "P2", "20250101").priors == ()


def test_the_same_id_of_another_issuer_is_another_patient(the_node: Node) -> None:
    a_study(the_node, "P3", "20250101", issuer_of_patient_id="A")
    assert a_study(the_node, "P3", "20250601", issuer_of_patient_id="B").priors == ()


def test_who_has_no_id_has_no_priors(the_node: Node) -> None:
    a_study(the_node, "", "20250101")
    assert a_study(the_node, "", "20250601").priors == ()


def test_a_withdrawn_report_is_no_prior(the_node: Node) -> None:
    a_study(the_node, "P4", "20250101")
    (report,) = list_reports(the_node.database, patient="P4")
    node = the_node
    taker = Withdrawer(node.database, Trail("person:eve"), node.engine, node.blobs, a_note)
    taker.withdraw(str(report["id"]), "wrong patient")
    assert a_study(the_node, "P4", "20250601").priors == ()
