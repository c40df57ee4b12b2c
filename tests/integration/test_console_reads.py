"""What the console asks of the record, over a working node on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import select, update

from node.audit.seal import Sealer
from node.audit.tables import Job, LedgerReading, LedgerSystem, ReadingRow, Study
from node.audit.trail import Trail
from node.case import Case
from node.config import DestinationSettings, load_settings
from node.errors import InputError, JobError
from node.jobs.admin import show_job
from node.jobs.monitoring import monitored_cases
from node.jobs.reading_form import FormReading, ReadingDesk
from node.web.auth.identity import Person, Role
from node.web.console.audit_search import (
    chain_state,
    forget_query,
    save_query,
    saved_queries,
    search,
)
from node.web.console.failures import shelf
from node.web.console.monitoring import monitored
from node.web.console.overview import overview, people_needed
from node.web.console.proving import Prover
from node.web.console.questions import answer, ready_question, ready_questions
from node.web.console.studies import Search, find_studies
from node.web.console.study import study_page
from node.web.console.timeline import timeline
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Node, a_database, a_node
from tests.waiting import wait_for

GREY, SEG = "1.2.3.1", "1.2.3.9"


@pytest.fixture(scope="module", params=DATABASES)
def the_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp(request.param)
    with a_database(request.param, folder) as url, a_node(url, folder, "work-1", "pacs") as node:
        yield node


@pytest.fixture
def a_running_node(the_node: Node) -> Node:
    the_node.anew()
    return the_node


def a_study(node: Node, **fields: str) -> str:
    """A study that was assessed, reported and delivered; its UID."""
    node.receive(replace(an_image(GREY), **fields), replace(a_seg(a_segment(1, GREY)), **fields))
    node.settles("done")
    return node.study


def found(node: Node, wanted: Search, size: int = 50) -> list[str]:
    page = find_studies(node.database, wanted, size)
    return [study.study_instance_uid for study in page.studies]


def test_a_study_is_found_by_each_of_its_marks(a_running_node: Node) -> None:
    node = a_running_node
    uid = a_study(
        node,
        patient_id="P-42",
        patient_name="Miller^Anna",
        accession_number="ACC-42",
        study_date="20260131",
    )
    for wanted in (
        Search(patient="P-42"),
        Search(patient="miller, anna".replace(",", "")),
        Search(patient="Miller^An"),
        Search(accession="ACC-42"),
        Search(since=date(2026, 1, 31), until=date(2026, 1, 31)),
        Search(patient="MILL", state="done"),
        Search(accession="ACC-42", since=date(2026, 1, 1)),
    ):
        assert found(node, wanted) == [uid], wanted
    for nothing in (
        Search(patient="Anna"),
        Search(patient="P-4"),
        Search(accession="ACC"),
        Search(since=date(2026, 2, 1)),
        Search(patient="P-42", state="dead"),
    ):
        assert found(node, nothing) == [], nothing
    assert found(node, Search(state="done"))[0] == uid
    (line,) = find_studies(node.database, Search(patient="P-42")).studies
    assert (line.instances, line.states) == (2, ("done",))
    assert [case.probability for case in line.cases] == [0.7]


def test_pages_by_key_show_every_study_once(a_running_node: Node) -> None:
    node = a_running_node
    for _ in range(3):
        a_study(node, patient_id="P-PAGED")
        node.anew()
    with node.database.connect() as connection:
        every = list(
            connection.scalars(
                select(Study.study_instance_uid).order_by(
                    Study.received_at.desc(), Study.study_instance_uid.desc()
                )
            )
        )
    for wanted in (Search(), Search(state="done"), Search(since=date(1900, 1, 1))):
        seen: list[str] = []
        after = ""
        for _ in range(len(every)):
            page = find_studies(node.database, replace(wanted, after=after), 2)
            seen += [study.study_instance_uid for study in page.studies]
            after = page.next
            if not after:
                break
        assert len(seen) == len(set(seen))
        if wanted.empty:
            assert seen == every


@pytest.mark.parametrize(
    "after", ["nonsense", "yesterday~1.2", "2026-01-01~1.2", "2026-01-01T00~x"]
)
def test_a_page_that_is_none_is_said_so(a_running_node: Node, after: str) -> None:
    with pytest.raises(InputError, match="search anew"):
        find_studies(a_running_node.database, Search(after=after))
    with pytest.raises(InputError, match="no state"):
        Search(state="lost")
    with pytest.raises(InputError, match="before the first"):
        Search(since=date(2026, 2, 1), until=date(2026, 1, 1))


def test_a_timeline_leads_from_the_first_byte_to_the_proof(a_running_node: Node) -> None:
    node = a_running_node
    uid = a_study(node)
    seen = timeline(node.database, uid)
    words = [step.words for step in seen.steps]
    order = ["Image and segment paired", "Assessment began", "Lesion assessed"]
    order += ["Report object written", "Delivery began", "Proven in the archive", "Done"]
    assert [word for word in words if word in order] == order
    assert all(step.after_s >= 0 for step in seen.steps)
    assert seen.to_proof_s is not None
    assert seen.to_proof_s == pytest.approx(seen.steps[-1].since_s, abs=1)


def test_a_reading_from_the_form_makes_a_generation_that_says_who_read(
    a_running_node: Node,
) -> None:
    node = a_running_node
    a_study(node)
    (job,) = node.jobs()
    case = show_job(node.database, job["id"])["cases"][0]["name"]
    desk = ReadingDesk(node.database, Trail("person:ann"), node.engine)
    features: dict[str, float | str] = {"boundary": "unclear", "maximum_diameter": 31.0}
    source = desk.leave(FormReading(job["id"], case, "Ann Reader", features))
    later, first = node.settles("done", 2)
    assert (first["generation"], later["generation"]) == (1, 2)
    read = Case.from_json(show_job(node.database, later["id"])["cases"][0]).reading
    assert read is not None
    assert (read.source, read.reader, dict(read.semantic)) == (source, "Ann Reader", features)
    with node.database.connect() as connection:
        events = connection.execute(
            select(LedgerReading.event, LedgerReading.actor)
            .where(LedgerReading.subject == source)
            .order_by(LedgerReading.id)
        ).all()
    assert [tuple(row) for row in events] == [("received", "person:ann"), ("applied", "test")]
    page = study_page(node.database, node.blobs, node.study)
    assert page is not None
    (look,) = page.looks
    assert [generation.number for generation in look.generations] == [2, 1]
    assert [generation.standing for generation in look.generations] == ["current", "superseded"]
    with pytest.raises(JobError, match="later generation"):
        desk.leave(FormReading(first["id"], case, "Ann Reader", features))
    with pytest.raises(JobError, match="no case"):
        desk.leave(FormReading(later["id"], "1.2.3#9", "Ann Reader", features))
    with node.database.connect() as connection:
        kept = connection.scalars(
            select(ReadingRow.source).where(ReadingRow.study_instance_uid == node.study)
        ).all()
    assert kept == [source], "what was refused left nothing behind"


def test_the_shelves_hold_what_waits_for_a_person(a_running_node: Node) -> None:
    node = a_running_node
    node.receive(an_image(GREY), an_image("1.2.3.2"), a_seg(a_segment(1)))
    (job,) = node.settles("held")
    held = next(one for one in shelf(node.database, "held").failures if one.job == job["id"])
    assert {one.instance for one in held.candidates} == {node.uid(GREY), node.uid("1.2.3.2")}
    before = people_needed(node.database)
    node.desk.cancel(job["id"])
    dead = shelf(node.database, "dead", size=1)
    assert [one.job for one in dead.failures] == [job["id"]]
    assert dead.counts["dead"] >= 1
    assert "cancelled by" in dead.failures[0].reason
    assert people_needed(node.database) == before
    with pytest.raises(InputError, match="no list"):
        shelf(node.database, "lost")


def test_the_overview_counts_and_names_what_is_not_proven(a_running_node: Node) -> None:
    node = a_running_node
    a_study(node)
    destination = DestinationSettings(name="pacs", ae_title="A", host="127.0.0.1", port=104)
    settings = load_settings(destination=[destination.model_dump()])
    seen = overview(node.database, node.blobs, settings)
    assert [stage.state for stage in seen.stages] == ["waiting", "queued", "running", "delivering"]
    assert seen.assessed[0] >= 1
    assert sum(count for _, count in seen.hours) == seen.assessed[1]
    assert len(seen.hours) == 24
    (archive,) = seen.archives
    assert (archive.state, archive.open) == ("ok", 0)
    assert archive.proven_at is not None
    assert seen.turnaround_s is not None


def test_the_monitoring_looks_at_the_latest_findings(a_running_node: Node) -> None:
    node = a_running_node
    a_study(node)
    seen = monitored(node.database, load_settings())
    assert seen.volumes[-1][1] >= 1
    assert sum(map(sum, seen.scores)) >= 1
    assert seen.scores[14][1] >= 1, "0.7 malignant"
    assert seen.turnaround is not None
    assert sum(seen.turnaround.counts) == seen.turnaround.jobs
    _, cases = monitored_cases(node.database, latest=1)
    assert len(cases) == 1


@pytest.mark.parametrize("number", [question.number for question in ready_questions()])
def test_every_ready_question_is_answered(a_running_node: Node, number: int) -> None:
    question = ready_question(number)
    said = {"study": "1.2", "patient": "P1", "since": "2020-01-01", "until": "2099-01-01"}
    got = answer(a_running_node.database, question, said)
    assert got.columns
    assert all(len(row) == len(got.columns) for row in got.rows)
    if question.examples:
        with pytest.raises(InputError, match="fill in"):
            answer(a_running_node.database, question, {})


def test_a_question_that_is_none_and_a_date_that_is_none_are_refused(
    a_running_node: Node,
) -> None:
    with pytest.raises(InputError, match="no question 99"):
        ready_question(99)
    with pytest.raises(InputError, match="date"):
        answer(a_running_node.database, ready_question(7), {"since": "x'; DROP TABLE job; --"})


def test_the_audit_is_searched_in_pages_that_lose_no_row(a_running_node: Node) -> None:
    node = a_running_node
    trail = Trail("person:ann")
    with node.database.begin() as connection:
        for number in range(250):
            trail.record(connection, "system", "noted", f"{node.study}.{number}")
    seen: list[str] = []
    before = ""
    for _ in range(5):
        page = search(node.database, {"actor": "person:ann", "event": "noted"}, before)
        seen += [row["subject"] for row in page.rows]
        before = page.older
        if not before:
            break
    mine = [one for one in seen if one.startswith(f"{node.study}.")]
    assert mine == [f"{node.study}.{number}" for number in reversed(range(250))]
    today = datetime.now(UTC).date().isoformat()
    assert search(node.database, {"since": today, "until": today}).rows
    for wrong in ({"ledger": "secrets"}, {"since": "soon"}):
        with pytest.raises(InputError):
            search(node.database, wrong)


def test_a_question_is_kept_by_name_and_removed_by_its_owner(a_running_node: Node) -> None:
    database = a_running_node.database
    ann = Person("ann", Role.OPERATOR, "session", csrf="x")
    ben = Person("ben", Role.OPERATOR, "session", csrf="x")
    name = f"refused here {a_running_node.study}"
    save_query(database, Trail(ann.actor), name, {"event": "refused", "nonsense": "x"})
    (row,) = [one for one in saved_queries(database) if one.name == name]
    assert row.question == {"event": "refused"}
    with pytest.raises(InputError, match="already"):
        save_query(database, Trail(ben.actor), name, {"event": "dead"})
    with pytest.raises(InputError, match="asks nothing"):
        save_query(database, Trail(ben.actor), "everything", {})
    with pytest.raises(InputError, match="kept by person:ann"):
        forget_query(database, Trail(ben.actor), ben, row.id)
    assert forget_query(database, Trail(ann.actor), ann, row.id) == name
    with pytest.raises(InputError, match="not kept any more"):
        forget_query(database, Trail(ann.actor), ann, row.id)
    with database.connect() as connection:
        events = connection.scalars(
            select(LedgerSystem.event).where(LedgerSystem.subject == name)
        ).all()
    assert events == ["query-saved", "query-removed"]


def test_a_proof_is_written_down_with_who_asked(
    a_running_node: Node, tmp_path_factory: pytest.TempPathFactory
) -> None:
    database, keys = a_running_node.database, tmp_path_factory.mktemp("keys")
    prover = Prover(database, Sealer.from_file(keys / "audit.key"))
    forger = Trail("receive", Sealer.from_file(keys / "another.key"))
    with database.begin() as connection:
        forger.record(connection, "system", "noted", "by somebody who has not the key")
    before = chain_state(database).proved_at
    assert prover.start(Trail("person:ann"))
    wait_for(lambda: not prover.busy)
    state = chain_state(database)
    assert state.proved_at != before
    assert state.proved_by == "person:ann"
    assert state.proof is not None
    assert state.proof["intact"] is False
    assert state.proof["faults"][0].startswith("inserted system")


def test_a_study_whose_files_expired_still_has_its_page(a_running_node: Node) -> None:
    node = a_running_node
    uid = a_study(node)
    with node.database.begin() as connection:
        connection.execute(
            update(Job).where(Job.study_instance_uid == uid).values(expired_at=datetime.now(UTC))
        )
    page = study_page(node.database, node.blobs, uid)
    assert page is not None
    assert page.looks[0].latest.expired
    assert page.looks[0].sr is None
    assert page.looks[0].sr_problem
    assert study_page(node.database, node.blobs, "1.2.3.4.5") is None
