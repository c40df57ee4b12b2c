"""The node's worklist over real sockets: pynetdicom's UPS as SCU, and UPS-RS by HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from sqlalchemy import select

from node.audit.tables import LedgerSystem, StudyCompletion, Workitem
from node.audit.trail import Trail
from node.config import Settings
from node.deliver.reactor import pause_properly
from node.jobs.completion import told_complete
from node.receive.parser import HeaderParser
from node.service.worklist import dialler
from node.web.auth.identity import Person, Role
from node.web.workitems import workitem_router
from node.worklist.availability import IAN, IanService
from node.worklist.performed import MPPS, MppsService
from node.worklist.scp import GLOBAL, PULL, QUERY, WATCH, UpsService
from node.worklist.teller import EVENT, Teller
from node.worklist.worklist import PUSH, Worklist
from tests.receive_fixtures import Desk, a_desk_in, listening
from tests.unit.test_ups_states import a_workitem
from tests.waiting import wait_for

MINE, THEIRS = "2.25.1001", "2.25.1002"


@dataclass
class Subscriber:
    """An AE that hears of workitems."""

    port: int = 0
    heard: list[tuple[str, int, Dataset]] = field(default_factory=list)

    def on_event(self, event: evt.Event) -> tuple[int, None]:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.heard.append((uid, int(event.event_type), event.event_information))
        return 0x0000, None

    def hears(self, number: int) -> list[tuple[str, int, Dataset]]:
        wait_for(lambda: len(self.heard) >= number)
        return self.heard


@contextmanager
def a_subscriber() -> Iterator[Subscriber]:
    """A listening subscriber of AE title WATCHER."""
    subscriber = Subscriber()
    entity = AE("WATCHER")
    entity.add_supported_context(EVENT, scu_role=False, scp_role=True)
    server = entity.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, subscriber.on_event)],
    )
    subscriber.port = server.socket.getsockname()[1]
    try:
        yield subscriber
    finally:
        server.shutdown()


@dataclass
class Node:
    """A receiver with the services of the edge, and a web server on the same worklist."""

    desk: Desk
    port: int
    web: str
    subscriber: Subscriber
    tasks: list[Any]

    @contextmanager
    def associated(self, *syntaxes: str) -> Iterator[Association]:
        entity = AE("MODALITY")
        for syntax in syntaxes:
            entity.add_requested_context(syntax)
        association = entity.associate("127.0.0.1", self.port, ae_title="CRDL")
        assert association.is_established
        assert len(association.accepted_contexts) == len(syntaxes)
        pause_properly(association)  # else pynetdicom's reactor may take an answer of ours
        try:
            yield association
        finally:
            association.release()

    def http(self, method: str, path: str, body: Dataset | None = None) -> httpx.Response:
        sent = None if body is None else [body.to_json_dict()]
        headers = {"Content-Type": "application/dicom+json"}
        url = f"{self.web}/dicom-web{path}"
        return httpx.request(method, url, json=sent, headers=headers, trust_env=False, timeout=20)

    def events(self) -> list[str]:
        with self.desk.engine.connect() as connection:
            return list(connection.scalars(select(LedgerSystem.event).order_by(LedgerSystem.id)))


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """A web server on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


class Tasks(list[Any]):
    """An engine that only collects its tasks."""

    def enqueue(self, connection: object, task: object) -> None:
        del connection
        self.append(task)


@pytest.fixture(scope="module")
def the_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("worklist")
    with HeaderParser() as parser, a_subscriber() as subscriber:
        desk = a_desk_in(folder, parser)
        known = {"WATCHER": ("127.0.0.1", subscriber.port)}
        teller, tasks, trail = Teller(dialler(Settings(), known)), Tasks(), Trail("test")
        worklist = Worklist(desk.engine, trail, frozenset(known), teller)

        def complete(connection: Any, study: str, expected: Any, source: str) -> None:
            told_complete(connection, trail, tasks, study, expected, source)

        services = (
            UpsService(worklist),
            MppsService(desk.engine, trail, complete),
            IanService(desk.engine, complete),
        )
        app = FastAPI()
        app.include_router(workitem_router(worklist))

        @app.middleware("http")
        async def recognise(request: Any, call_next: Any) -> Any:
            request.state.person = Person("somebody", Role.OPERATOR, "loopback")
            return await call_next(request)

        with listening(desk, services=services) as (_, port), serving(app) as web:
            yield Node(desk, port, web, subscriber, tasks)
        teller.close()


@pytest.fixture
def a_running_node(the_node: Node) -> Node:
    with the_node.desk.engine.begin() as connection:
        for table in (Workitem, StudyCompletion):
            connection.execute(table.__table__.delete())
    the_node.subscriber.heard.clear()
    the_node.tasks.clear()
    return the_node


def a_state(state: str, transaction: str) -> Dataset:
    wish = Dataset()
    wish.ProcedureStepState, wish.TransactionUID = state, transaction
    return wish


def an_output() -> Dataset:
    performed = Dataset()
    performed.PerformedProcedureStepStartDateTime = "20260102120000"
    performed.PerformedProcedureStepEndDateTime = "20260102120100"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = (
        "110005",
        "DCM",
        "Interpretation",
    )
    performed.PerformedWorkitemCodeSequence = [code]
    performed.OutputInformationSequence = []
    changes = Dataset()
    changes.UnifiedProcedureStepPerformedProcedureSequence = [performed]
    return changes


def test_a_workitem_goes_its_way_over_dimse(a_running_node: Node) -> None:
    with a_running_node.associated(PUSH, PULL, QUERY, WATCH) as ups:
        status, made = ups.send_n_create(a_workitem(), PUSH, MINE)
        assert status.Status == 0xB300  # a worklist label was added
        assert made.WorklistLabel == "CRDL"
        assert ups.send_n_create(a_workitem(), PUSH, MINE)[0].Status == 0x0111
        keys = Dataset()
        keys.ProcedureStepState, keys.PatientID, keys.ProcedureStepLabel = "SCHEDULED", "P1", ""
        found = [match for status, match in ups.send_c_find(keys, PULL) if match]
        assert [str(one.SOPInstanceUID) for one in found] == [MINE]
        assert found[0].ProcedureStepLabel == "Score a lesion"
        act = {"class_uid": PUSH, "instance_uid": MINE, "meta_uid": PULL}
        assert ups.send_n_action(a_state("COMPLETED", THEIRS), 1, **act)[0].Status == 0xC310
        assert ups.send_n_action(a_state("IN PROGRESS", THEIRS), 1, **act)[0].Status == 0
        assert ups.send_n_action(a_state("IN PROGRESS", "2.25.9"), 1, **act)[0].Status == 0xC301
        changes = an_output()
        changes.TransactionUID = "2.25.9"
        assert ups.send_n_set(changes, PUSH, MINE, meta_uid=PULL)[0].Status == 0xC301
        assert ups.send_n_action(a_state("COMPLETED", THEIRS), 1, **act)[0].Status == 0xC304
        changes.TransactionUID = THEIRS
        assert ups.send_n_set(changes, PUSH, MINE, meta_uid=PULL)[0].Status == 0
        assert ups.send_n_action(a_state("COMPLETED", THEIRS), 1, **act)[0].Status == 0
        status, whole = ups.send_n_get([], PUSH, MINE, meta_uid=WATCH)
        assert (status.Status, whole.ProcedureStepState) == (0, "COMPLETED")
        assert "TransactionUID" not in whole
        tag = whole["ProcedureStepState"].tag
        _, part = ups.send_n_get([tag], PUSH, MINE, meta_uid=PULL)
        assert [element.tag for element in part] == [tag]
        assert ups.send_n_get([], PUSH, "2.25.404")[0].Status == 0xC307
        cancel = ups.send_n_action(None, 2, PUSH, MINE, meta_uid=WATCH)[0]
        assert cancel.Status == 0xC311
    words = [word for word in a_running_node.events() if word.startswith("workitem")]
    assert [word.partition("-")[2] for word in words[-4:]] == [
        "created",
        "state",
        "updated",
        "state",
    ]


def test_a_subscriber_hears_what_happens(a_running_node: Node) -> None:
    subscriber = a_running_node.subscriber
    wish = Dataset()
    wish.ReceivingAE, wish.DeletionLock = "WATCHER", "FALSE"
    stranger = Dataset()
    stranger.ReceivingAE, stranger.DeletionLock = "STRANGER", "FALSE"
    with a_running_node.associated(PUSH, WATCH, PULL) as ups:
        assert ups.send_n_action(stranger, 3, PUSH, GLOBAL, meta_uid=WATCH)[0].Status == 0xC308
        assert ups.send_n_action(wish, 3, PUSH, GLOBAL, meta_uid=WATCH)[0].Status == 0
        ups.send_n_create(a_workitem(), PUSH, MINE)
        ups.send_n_action(a_state("IN PROGRESS", THEIRS), 1, PUSH, MINE, meta_uid=PULL)
        progress = Dataset()
        item = Dataset()
        item.ProcedureStepProgress = "50"
        progress.ProcedureStepProgressInformationSequence = [item]
        progress.TransactionUID = THEIRS
        ups.send_n_set(progress, PUSH, MINE, meta_uid=PULL)
        why = Dataset()
        why.ReasonForCancellation = "wrong patient"
        ups.send_n_action(why, 2, PUSH, MINE, meta_uid=WATCH)
        heard = subscriber.hears(4)
        assert {uid for uid, _, _ in heard} == {MINE}
        assert [kind for _, kind, _ in heard] == [1, 1, 3, 2]
        assert [heard[n][2].ProcedureStepState for n in (0, 1)] == ["SCHEDULED", "IN PROGRESS"]
        assert heard[3][2].ReasonForCancellation == "wrong patient"
        assert heard[3][2].RequestingAE == "MODALITY"
        assert ups.send_n_action(wish, 4, PUSH, GLOBAL, meta_uid=WATCH)[0].Status == 0
        ups.send_n_create(a_workitem(), PUSH, "2.25.1003")
        time.sleep(0.3)
    assert len(subscriber.heard) == 4


def test_what_nobody_has_begun_is_cancelled_on_request(a_running_node: Node) -> None:
    with a_running_node.associated(PUSH, WATCH) as ups:
        ups.send_n_create(a_workitem(), PUSH, MINE)
        assert ups.send_n_action(None, 2, PUSH, MINE, meta_uid=WATCH)[0].Status == 0
        assert ups.send_n_get([], PUSH, MINE)[1].ProcedureStepState == "CANCELED"
        assert ups.send_n_action(None, 2, PUSH, MINE, meta_uid=WATCH)[0].Status == 0xB304


def test_a_workitem_goes_its_way_over_http(a_running_node: Node) -> None:
    http = a_running_node.http
    made = http("POST", f"/workitems?{MINE}", a_workitem(WorklistLabel="X"))
    assert (made.status_code, made.headers["location"]) == (201, f"/dicom-web/workitems/{MINE}")
    assert http("POST", f"/workitems?{MINE}", a_workitem()).status_code == 409
    assert http("POST", "/workitems", a_workitem(ProcedureStepLabel="")).status_code == 400
    found = http("GET", "/workitems?ProcedureStepState=SCHEDULED&WorklistLabel=X&PatientID=P*")
    assert [Dataset.from_json(one).SOPInstanceUID for one in found.json()] == [MINE]
    assert http("GET", "/workitems?WorklistLabel=Y").status_code == 204
    assert http("GET", "/workitems?NoSuchThing=1").status_code == 400
    state = f"/workitems/{MINE}/state"
    assert http("PUT", state, a_state("COMPLETED", THEIRS)).status_code == 409
    assert http("PUT", state, a_state("IN PROGRESS", "")).status_code == 400
    assert http("PUT", state, a_state("IN PROGRESS", THEIRS)).status_code == 200
    assert http("POST", f"/workitems/{MINE}?2.25.9", an_output()).status_code == 400
    assert http("POST", f"/workitems/{MINE}?{THEIRS}", an_output()).status_code == 200
    assert http("PUT", state, a_state("COMPLETED", THEIRS)).status_code == 200
    assert http("PUT", state, a_state("COMPLETED", THEIRS)).status_code == 410
    whole = Dataset.from_json(http("GET", f"/workitems/{MINE}").json()[0])
    assert whole.ProcedureStepState == "COMPLETED"
    assert http("GET", "/workitems/2.25.404").status_code == 404
    assert http("POST", f"/workitems/{MINE}/cancelrequest").status_code == 409
    with a_running_node.associated(PUSH) as ups:  # one worklist, two protocols
        assert ups.send_n_get([], PUSH, MINE)[1].ProcedureStepState == "COMPLETED"


def test_a_subscription_over_http_is_told_over_dimse(a_running_node: Node) -> None:
    http = a_running_node.http
    http("POST", f"/workitems?{MINE}", a_workitem())
    assert http("POST", f"/workitems/{MINE}/subscribers/WATCHER").status_code == 201
    assert http("POST", f"/workitems/{MINE}/subscribers/NOBODY").status_code == 404
    assert http("POST", f"/workitems/{MINE}/cancelrequest").status_code == 202
    heard = a_running_node.subscriber.hears(2)
    assert [one[2].ProcedureStepState for one in heard] == ["SCHEDULED", "CANCELED"]
    assert http("DELETE", f"/workitems/{MINE}/subscribers/WATCHER").status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'[{"00100020": 5}]', b"[1, 2]"])
def test_a_body_that_is_no_data_set_is_refused(a_running_node: Node, body: bytes) -> None:
    url = f"{a_running_node.web}/dicom-web/workitems"
    assert httpx.post(url, content=body, trust_env=False).status_code == 400


def a_step(status: str, *images: str) -> Dataset:
    step, scheduled, series = Dataset(), Dataset(), Dataset()
    step.PerformedProcedureStepStatus = status
    step.PatientID = "P1"
    scheduled.StudyInstanceUID = "1.2.77"
    step.ScheduledStepAttributesSequence = [scheduled]
    series.ReferencedImageSequence = []
    for uid in images:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = (
            "1.2.840.10008.5.1.4.1.1.6.1",
            uid,
        )
        series.ReferencedImageSequence.append(item)
    step.PerformedSeriesSequence = [series] if images else []
    return step


def told(node: Node) -> list[tuple[str, list[str]]]:
    with node.desk.engine.connect() as connection:
        rows = connection.execute(select(StudyCompletion.__table__)).all()
    return [(row.study_instance_uid, row.expected["instances"]) for row in rows]


def test_a_completed_step_closes_its_study(a_running_node: Node) -> None:
    with a_running_node.associated(MPPS) as mpps:
        assert mpps.send_n_create(a_step("COMPLETED"), MPPS, "2.25.501")[0].Status == 0x0106
        assert mpps.send_n_create(a_step("IN PROGRESS"), MPPS, "2.25.501")[0].Status == 0
        assert mpps.send_n_create(a_step("IN PROGRESS"), MPPS, "2.25.501")[0].Status == 0x0111
        assert told(a_running_node) == []
        final = a_step("COMPLETED", "1.2.77.2", "1.2.77.1")
        del final.ScheduledStepAttributesSequence
        assert mpps.send_n_set(final, MPPS, "2.25.501")[0].Status == 0
        again = mpps.send_n_set(final, MPPS, "2.25.501")[0]
        assert (again.Status, again.ErrorID) == (0x0110, 0xA710)
        assert mpps.send_n_set(final, MPPS, "2.25.404")[0].Status == 0x0112
    assert told(a_running_node) == [("1.2.77", ["1.2.77.1", "1.2.77.2"])]


def test_a_step_may_name_thousands_of_images(a_running_node: Node) -> None:
    images = [f"1.2.840.99999.2026.77.{number}" for number in range(3000)]
    with a_running_node.associated(MPPS) as mpps:
        assert mpps.send_n_create(a_step("IN PROGRESS"), MPPS, "2.25.503")[0].Status == 0
        assert mpps.send_n_set(a_step("COMPLETED", *images), MPPS, "2.25.503")[0].Status == 0
    ((_, named),) = told(a_running_node)
    assert len(named) == 3000


def test_a_discontinued_step_closes_nothing(a_running_node: Node) -> None:
    with a_running_node.associated(MPPS) as mpps:
        assert mpps.send_n_create(a_step("IN PROGRESS"), MPPS, "2.25.502")[0].Status == 0
        assert mpps.send_n_set(a_step("DISCONTINUED"), MPPS, "2.25.502")[0].Status == 0
    assert told(a_running_node) == []


def test_an_archive_tells_what_is_available(a_running_node: Node) -> None:
    note, series = Dataset(), Dataset()
    note.StudyInstanceUID = "1.2.78"
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.2.78.1", []
    for uid, where in (("1.2.78.1.1", "ONLINE"), ("1.2.78.1.2", "OFFLINE")):
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
        item.ReferencedSOPInstanceUID, item.InstanceAvailability = uid, where
        item.RetrieveAETitle = "PACS"
        series.ReferencedSOPSequence.append(item)
    note.ReferencedSeriesSequence = [series]
    with a_running_node.associated(IAN) as ian:
        assert ian.send_n_create(note, IAN, "2.25.601")[0].Status == 0
        del note.StudyInstanceUID
        assert ian.send_n_create(note, IAN, "2.25.602")[0].Status == 0x0120
    assert told(a_running_node) == [("1.2.78", ["1.2.78.1.1"])]


def test_without_a_wish_nothing_of_it_is_served(tmp_path: Path) -> None:
    with HeaderParser() as parser, listening(a_desk_in(tmp_path, parser)) as (_, port):
        entity = AE("MODALITY")
        for syntax in (PUSH, PULL, WATCH, QUERY, MPPS, IAN):
            entity.add_requested_context(syntax)
        association = entity.associate("127.0.0.1", port, ae_title="CRDL")
        assert not association.accepted_contexts
        association.abort()
