"""A radiologist's report on the real engine: which lesion it changes, and how often."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from sqlalchemy import select

from node.audit.tables import Instance, LedgerReading, Outcome
from node.case import Case, InstanceHeader
from node.jobs.admin import show_job
from node.jobs.outcomes import OutcomeSaid, keep_outcomes
from sr_templates.readings import LesionRead, ReportRead
from tests.factories import STUDY, a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Node, a_database, a_node
from tests.waiting import wait_for

GREY = "1.2.3.1"
SEG = "1.2.3.9"
COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
TRACKING = "1.2.3.700"
FEATURES = {"boundary": "unclear", "maximum_diameter": 31.0}
_UIDS = count(1)


@pytest.fixture(scope="module", params=DATABASES)
def the_node_of_this_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp(request.param)
    with a_database(request.param, folder) as url, a_node(url, folder, "work-1", "pacs") as node:
        yield node


@pytest.fixture
def a_running_node(the_node_of_this_file: Node) -> Node:
    the_node_of_this_file.anew()
    return the_node_of_this_file


def a_lesion(node: Node, **fields: Any) -> LesionRead:
    values: dict[str, Any] = {"tracking_uid": TRACKING, "features": FEATURES}
    values |= fields
    for name in ("tracking_uid", "seg_uid"):
        values[name] = node.uid(values.get(name, "")) if values.get(name) else ""
    values["images"] = tuple(node.uid(uid) for uid in values.get("images", ()))
    return LesionRead(**values)


def a_report(node: Node, *lesions: LesionRead, **fields: Any) -> ReportRead:
    values: dict[str, Any] = {
        "sop_instance_uid": "",
        "study_instance_uid": node.study,
        "patient_id": "",
        "reader": "Doe^Jane",
        "read_at": "2026-01-02T10:00:00",
        "verified": False,
        "references": (),
        "lesions": lesions,
        "ignored": (),
    }
    return ReportRead(**(values | fields))


def sends(node: Node, report: ReportRead | None, uid: str = "") -> str:
    """The report arrives and is taken in; its SOP Instance UID in this test's study."""
    uid = uid or f"{STUDY}.8.{next(_UIDS)}"
    node.rooms.report = report
    before = len(ledger(node))
    node.receive(an_sr(uid))
    wait_for(lambda: len(ledger(node)) > before)
    return node.uid(uid)


def an_sr(uid: str) -> InstanceHeader:
    return an_image(uid, sop_class_uid=COMPREHENSIVE, modality="SR", rows=0, columns=0)


def a_tracked_seg(uid: str = SEG, *, image: str = GREY, **fields: Any) -> InstanceHeader:
    return a_seg(a_segment(1, image, tracking_uid=TRACKING), uid=uid, **fields)


def ledger(node: Node) -> list[tuple[str, str, dict[str, Any]]]:
    query = select(LedgerReading.event, LedgerReading.subject, LedgerReading.detail)
    with node.database.connect() as connection:
        found = connection.execute(
            query.where(LedgerReading.study_instance_uid == node.study).order_by(LedgerReading.id)
        )
        return [(row.event, row.subject, row.detail) for row in found]


def events(node: Node) -> list[str]:
    return [event for event, _, _ in ledger(node)]


def readings(node: Node) -> list[dict[str, Any] | None]:
    """The reading of the only case of every job, oldest job first."""
    jobs = sorted(node.jobs(), key=lambda job: job["id"])
    cases = [show_job(node.database, job["id"])["cases"] for job in jobs]
    found = [Case.from_json(case).reading for (case,) in cases]
    return [None if reading is None else dict(reading.semantic) for reading in found]


def test_a_late_reading_makes_one_new_generation(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_tracked_seg())
    a_running_node.settles("done")
    report = a_report(a_running_node, a_lesion(a_running_node))
    source = sends(a_running_node, report)
    jobs = a_running_node.settles("done", jobs=2)
    assert sorted(job["generation"] for job in jobs) == [1, 2]
    assert readings(a_running_node) == [None, FEATURES]
    second = a_running_node.rooms.requests[-1]
    assert second.predecessor is not None
    assert second.cases[0].reading is not None
    assert second.cases[0].reading.reader == "Doe^Jane"
    assert [(event, subject) for event, subject, _ in ledger(a_running_node)] == [
        ("received", source),
        ("applied", source),
    ]


def test_the_same_report_again_changes_nothing(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_tracked_seg())
    a_running_node.settles("done")
    report = a_report(a_running_node, a_lesion(a_running_node))
    sends(a_running_node, report)
    a_running_node.settles("done", jobs=2)
    before = events(a_running_node)
    with a_running_node.database.connect() as connection:
        instance = connection.scalar(
            select(Instance.id).where(
                Instance.study_instance_uid == a_running_node.study, Instance.modality == "SR"
            )
        )
    pairer = a_running_node.handlers("pacs")["pairing"]
    pairer(instance)
    time.sleep(0.3)
    assert events(a_running_node) == before
    assert len(a_running_node.jobs()) == 2


def test_a_later_reading_by_anyone_replaces_the_earlier_as_a_whole(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_tracked_seg())
    a_running_node.settles("done")
    sends(a_running_node, a_report(a_running_node, a_lesion(a_running_node)))
    a_running_node.settles("done", jobs=2)
    other = a_lesion(a_running_node, features={"boundary": "clear"})
    sends(a_running_node, a_report(a_running_node, other, reader="Roe^Richard"))
    a_running_node.settles("done", jobs=3)
    assert readings(a_running_node)[-1] == {"boundary": "clear"}


def test_a_reading_that_is_here_first_is_used_at_once(a_running_node: Node) -> None:
    sends(a_running_node, a_report(a_running_node, a_lesion(a_running_node)))
    a_running_node.receive(an_image(GREY), a_tracked_seg())
    a_running_node.settles("done")
    assert readings(a_running_node) == [FEATURES]
    assert events(a_running_node) == ["received", "applied"]


def test_a_report_that_says_nothing_is_refused_with_the_reason(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_tracked_seg())
    a_running_node.settles("done")
    sends(a_running_node, a_report(a_running_node))
    sends(a_running_node, None)
    assert ledger(a_running_node)[0][2]["reason"].startswith("it says")
    assert events(a_running_node) == ["refused", "refused"]
    assert len(a_running_node.jobs()) == 1


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        ({"seg_uid": SEG, "segment_number": 1, "tracking_uid": ""}, True),
        ({"seg_uid": SEG, "segment_number": 2, "tracking_uid": ""}, False),
        ({"seg_uid": SEG, "segment_number": None, "tracking_uid": ""}, True),
        ({"seg_uid": "1.2.3.555", "tracking_uid": "1.2.3.777", "images": (GREY,)}, True),
        ({"tracking_uid": "1.2.3.777", "images": (GREY,)}, True),
        ({"tracking_uid": "1.2.3.777", "images": ("1.2.3.2",)}, False),
        ({"tracking_uid": ""}, True),
    ],
    ids=["segment", "other segment", "SEG", "viewer's SEG", "image", "other image", "study"],
)
def test_a_reading_finds_its_lesion(
    a_running_node: Node, names: dict[str, Any], changes: bool
) -> None:
    a_running_node.receive(an_image(GREY), an_image("1.2.3.2"), a_tracked_seg())
    a_running_node.settles("done")
    sends(a_running_node, a_report(a_running_node, a_lesion(a_running_node, **names)))
    time.sleep(0.2)
    a_running_node.settles("done", jobs=2 if changes else 1)


def test_a_reading_without_a_name_is_given_to_none_of_two_lesions(a_running_node: Node) -> None:
    two = a_seg(
        a_segment(1, GREY, tracking_uid="1.2.3.701"), a_segment(2, GREY, tracking_uid="1.2.3.702")
    )
    a_running_node.receive(an_image(GREY), two)
    a_running_node.settles("done")
    sends(a_running_node, a_report(a_running_node, a_lesion(a_running_node, tracking_uid="")))
    time.sleep(0.2)
    a_running_node.settles("done")
    assert events(a_running_node) == ["received"]


def test_a_reading_of_one_readers_seg_leaves_the_others_alone(a_running_node: Node) -> None:
    a_running_node.receive(
        an_image(GREY),
        a_tracked_seg(content_creator_name="Doe"),
        a_tracked_seg("1.2.3.10", content_creator_name="Roe"),
    )
    a_running_node.settles("done", jobs=2)
    lesion = a_lesion(a_running_node, seg_uid="1.2.3.10")
    sends(a_running_node, a_report(a_running_node, lesion))
    jobs = a_running_node.settles("done", jobs=3)
    assert max(jobs, key=lambda job: job["id"])["seg"] == a_running_node.uid("1.2.3.10")


def test_a_seg_that_was_drawn_again_is_not_assessed_again(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_tracked_seg())
    a_running_node.settles("done")
    a_running_node.receive(a_tracked_seg("1.2.3.10"))
    a_running_node.settles("done", jobs=2)
    sends(a_running_node, a_report(a_running_node, a_lesion(a_running_node)))
    jobs = a_running_node.settles("done", jobs=3)
    assert max(jobs, key=lambda job: job["id"])["seg"] == a_running_node.uid("1.2.3.10")


def outcomes(node: Node) -> list[tuple[str, bool | None, bool | None, str]]:
    query = select(Outcome.__table__).where(Outcome.study_instance_uid == node.study)
    with node.database.connect() as connection:
        rows = connection.execute(query.order_by(Outcome.id)).all()
        return [(row.kind, row.malignant, row.agrees, row.case_name) for row in rows]


def test_a_verified_diagnosis_is_an_outcome(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_tracked_seg())
    a_running_node.settles("done")
    lesion = a_lesion(a_running_node, features={}, statement="benign")
    report = a_report(a_running_node, lesion, verified=True)
    sends(a_running_node, report)
    case = f"{a_running_node.uid(SEG)}#1"
    assert outcomes(a_running_node) == [("verified-sr", False, False, case)]
    assert events(a_running_node) == ["received", "outcome"]
    sends(a_running_node, replace(report, verified=False))
    assert len(outcomes(a_running_node)) == 1


def test_our_class_verified_agrees_and_says_nothing_of_the_truth(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_tracked_seg())
    a_running_node.settles("done")
    lesion = a_lesion(a_running_node, features={}, our_class="malignant")
    sends(a_running_node, a_report(a_running_node, lesion, verified=True))
    case = f"{a_running_node.uid(SEG)}#1"
    assert outcomes(a_running_node) == [("verified-sr", None, True, case)]


def test_pathology_finds_the_case_of_its_accession_number(a_running_node: Node) -> None:
    accession = f"A{a_running_node.study}"
    a_running_node.receive(
        an_image(GREY, accession_number=accession), a_tracked_seg(accession_number=accession)
    )
    a_running_node.settles("done")
    said = OutcomeSaid("pathology", accession, malignant=True, accession_number=accession)
    trail = a_running_node.trail
    (first,) = keep_outcomes(a_running_node.database, trail, [said])
    (again,) = keep_outcomes(a_running_node.database, trail, [said])
    (other,) = keep_outcomes(a_running_node.database, trail, [replace(said, malignant=False)])
    case = f"{a_running_node.uid(SEG)}#1"
    assert [one.standing for one in (first, again, other)] == ["new", "known", "changed"]
    assert {one.case_name for one in (first, again, other)} == {case}
    assert outcomes(a_running_node) == [("pathology", False, None, case)]
    assert events(a_running_node) == ["outcome", "outcome-corrected"]


def test_an_outcome_of_nobody_known_is_kept(a_running_node: Node) -> None:
    study = a_running_node.study
    said = OutcomeSaid("pathology", study, malignant=True, study_instance_uid=study)
    (kept,) = keep_outcomes(a_running_node.database, a_running_node.trail, [said])
    assert (kept.standing, kept.case_name) == ("new", "")
    assert outcomes(a_running_node) == [("pathology", True, None, "")]
