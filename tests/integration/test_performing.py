"""This node as the performer of a worklist: claimed, progressed, completed, given up, over HTTP."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydicom import Dataset
from sqlalchemy import Engine, insert, select, update

from node.audit.schema import upgrade
from node.audit.tables import Job, LedgerSystem, PerformedWorkitem, Report, Workitem
from node.audit.trail import Trail
from node.case import Case, FrameReference
from node.config import Settings
from node.database import open_engine, utc_now
from node.errors import DeliveryError
from node.jobs.edge import FetchAnswer, FetchQuestion
from node.jobs.priority import of_request
from node.jobs.routing import stored_facts
from node.receive.associations import AssociationLog
from node.receive.parser import HeaderParser
from node.receive.services import Asked
from node.service.performing import Performer
from node.service.worklist import dialler
from node.web.auth.identity import Person, Role
from node.web.workitems import workitem_router
from node.worklist.client import UpsClient
from node.worklist.hearing import UpsListener
from node.worklist.teller import Teller
from node.worklist.worklist import Worklist
from tests.factories import STUDY, a_seg, a_segment, an_image
from tests.integration.test_worklist import serving
from tests.jobs_fixtures import keep
from tests.receive_fixtures import a_desk_in, listening
from tests.unit.test_ups_states import a_workitem
from tests.waiting import wait_for

UID, IMAGE, SEG = "2.25.7001", f"{STUDY}.1", f"{STUDY}.9"
SR = "1.2.840.10008.5.1.4.1.1.88.34"


@dataclass
class Workplace:
    """A UPS-RS server, and a node that performs what is on it."""

    worklist: Worklist
    database: Engine
    client: UpsClient
    asked: list[FetchQuestion] = field(default_factory=list)
    brings: bool = False

    def performer(self, **wishes: Any) -> Performer:
        section = {"performs": "http://server", "labels": ["CRDL"]} | wishes
        settings = Settings.model_validate({"worklist": section})
        return Performer(self.database, Trail("deliver"), self.client, settings, self.fetch)

    def fetch(self, question: FetchQuestion) -> tuple[FetchAnswer, ...]:
        self.asked.append(question)
        if self.brings:
            self.arrives()
        return (FetchAnswer("pacs"),)

    def arrives(self) -> None:
        with self.database.begin() as connection:
            keep(connection, an_image(IMAGE))
            keep(connection, a_seg(a_segment(1, IMAGE), uid=SEG))

    def job(self, state: str, reason: str = "") -> None:
        now = utc_now()
        with self.database.begin() as connection:
            job = connection.execute(
                insert(Job)
                .values(
                    seg_uid=SEG,
                    generation=1,
                    state=state,
                    reason=reason,
                    study_instance_uid=STUDY,
                    patient_id="P1",
                    cases={"cases": []},
                    created_at=now,
                    updated_at=now,
                )
                .returning(Job.id)
            ).scalar_one()
            for kind in ("sr", "sc-1", "reject"):
                connection.execute(
                    insert(Report).values(
                        job_id=job,
                        kind=kind,
                        sop_class_uid=SR,
                        sop_instance_uid=f"2.25.8{len(kind)}",
                        series_instance_uid="2.25.80",
                        study_instance_uid=STUDY,
                        blob_sha256="0" * 64,
                        size=1,
                        created_at=now,
                    )
                )

    def schedule(
        self, label: str = "CRDL", *, study: str = STUDY, priority: str = "MEDIUM"
    ) -> None:
        item = Dataset()
        item.StudyInstanceUID, item.SeriesInstanceUID = study, f"{STUDY}.100"
        item.ReferencedSOPSequence = []
        for uid in (IMAGE, SEG):
            reference = Dataset()
            reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
            reference.ReferencedSOPInstanceUID = uid
            item.ReferencedSOPSequence.append(reference)
        inputs = [item] if study else []
        given = a_workitem(
            WorklistLabel=label,
            InputInformationSequence=inputs,
            ScheduledProcedureStepPriority=priority,
        )
        assert self.worklist.create(UID, given, "PACS").done

    def there(self) -> Dataset:
        found = self.worklist.get(UID).dataset
        assert found is not None
        return found

    def here(self) -> tuple[str, str]:
        with self.database.connect() as connection:
            row = connection.execute(select(PerformedWorkitem.__table__)).one()
        return row.state, row.reason

    def events(self) -> list[str]:
        with self.database.connect() as connection:
            query = select(LedgerSystem.event).order_by(LedgerSystem.id)
            return [one for one in connection.scalars(query) if one.startswith("workitem")]


@pytest.fixture(scope="module")
def an_empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the current schema, to be copied: migrating takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "node.db"
    database = open_engine(f"sqlite:///{path}")
    upgrade(database)
    database.dispose()  # the last connection moves the journal into the file
    return path


@pytest.fixture
def a_workplace(tmp_path: Path, an_empty_database: Path) -> Iterator[Workplace]:
    for name in ("server", "node"):
        shutil.copy(an_empty_database, tmp_path / f"{name}.db")
    server, node = (open_engine(f"sqlite:///{tmp_path / name}.db") for name in ("server", "node"))
    worklist = Worklist(server, Trail("server"))
    app = FastAPI()
    app.include_router(workitem_router(worklist))

    @app.middleware("http")
    async def recognise(request: Any, call_next: Any) -> Any:
        request.state.person = Person("performer", Role.OPERATOR, "loopback")
        return await call_next(request)

    with serving(app) as url, httpx.Client(base_url=f"{url}/dicom-web", trust_env=False) as http:
        yield Workplace(worklist, node, UpsClient("server", http))
    for database in (server, node):
        database.dispose()


def test_a_workitem_is_claimed_fetched_reported_and_completed(a_workplace: Workplace) -> None:
    a_workplace.schedule()
    performer = a_workplace.performer()
    performer.round()
    assert a_workplace.there().ProcedureStepState == "IN PROGRESS"
    a_workplace.brings = True
    performer.round()
    assert [one.sop_instance_uids for one in a_workplace.asked] == [(IMAGE, SEG)]
    (progress,) = a_workplace.there().ProcedureStepProgressInformationSequence
    assert float(progress.ProcedureStepProgress) == 10
    performer.round()
    assert a_workplace.here() == ("claimed", "the inputs are here, not reported yet")
    a_workplace.job("done")
    performer.round()
    done = a_workplace.there()
    assert done.ProcedureStepState == "COMPLETED"
    (step,) = done.UnifiedProcedureStepPerformedProcedureSequence
    (output,) = step.OutputInformationSequence
    assert output.StudyInstanceUID == STUDY
    made = [one.ReferencedSOPInstanceUID for one in output.ReferencedSOPSequence]
    assert made == ["2.25.82", "2.25.84"]  # the SR and its companion, no rejection note
    assert a_workplace.here() == ("completed", "2 object(s) made")
    performer.round()
    words = ["claimed", "progress", "progress", "completed"]
    assert a_workplace.events() == [f"workitem-{one}" for one in words]


def test_a_study_is_as_urgent_as_the_workitem_that_was_claimed(a_workplace: Workplace) -> None:
    a_workplace.schedule(priority="HIGH")
    a_workplace.performer().round()
    a_workplace.arrives()
    assert urgency(a_workplace.database) == "high"
    with a_workplace.database.begin() as connection:
        connection.execute(update(PerformedWorkitem).values(state="completed"))
    assert urgency(a_workplace.database) == ""


def test_a_study_is_as_urgent_as_the_workitem_on_our_own_list(a_workplace: Workplace) -> None:
    a_workplace.schedule(priority="LOW")
    node = Workplace(a_workplace.worklist, a_workplace.worklist.database, a_workplace.client)
    node.arrives()
    assert urgency(node.database) == "low"
    with node.database.begin() as connection:
        connection.execute(update(Workitem).values(state="CANCELED"))
    assert urgency(node.database) == ""


def urgency(database: Engine) -> str:
    """What pairing would ask for the one lesion here."""
    case = Case(f"{SEG}#1", SEG, 1, "Lesion", "", "", (FrameReference(IMAGE),))
    with database.connect() as connection:
        facts = stored_facts(connection, SEG, [case])
    return of_request(facts.values["requested_priority"])


def test_what_cannot_be_assessed_is_cancelled_with_the_reason(a_workplace: Workplace) -> None:
    a_workplace.schedule()
    a_workplace.arrives()
    a_workplace.job("dead", "the decoder died")
    performer = a_workplace.performer()
    performer.round()
    performer.round()
    (progress,) = a_workplace.there().ProcedureStepProgressInformationSequence
    assert progress.ReasonForCancellation == "not assessed: the decoder died"
    assert a_workplace.there().ProcedureStepState == "CANCELED"
    assert a_workplace.here()[0] == "canceled"


def test_a_workitem_without_inputs_is_cancelled(a_workplace: Workplace) -> None:
    a_workplace.schedule(study="")
    performer = a_workplace.performer()
    performer.round()
    performer.round()
    assert a_workplace.here() == ("canceled", "the workitem names no study as its input")


def test_what_never_comes_is_given_up(a_workplace: Workplace) -> None:
    a_workplace.schedule()
    performer = a_workplace.performer(give_up_s=60)
    performer.round()
    performer.round()
    assert a_workplace.here() == ("claimed", "2 input(s) are not here")
    with a_workplace.database.begin() as connection:
        long_ago = utc_now() - timedelta(seconds=61)
        connection.execute(update(PerformedWorkitem).values(claimed_at=long_ago))
    performer.round()
    assert a_workplace.here() == ("canceled", "2 input(s) are not here")


def test_what_another_performer_has_is_left_to_it(a_workplace: Workplace) -> None:
    a_workplace.schedule()
    performer = a_workplace.performer()
    before = a_workplace.client.change_state
    a_workplace.client.change_state = lambda *_: (  # type: ignore[method-assign]
        a_workplace.worklist.change_state(UID, "IN PROGRESS", "2.25.5", "OTHER"),
        before(UID, "IN PROGRESS", "2.25.6"),
    )[-1]
    performer.round()
    assert a_workplace.here()[0] == "lost"
    performer.round()
    assert a_workplace.there().ProcedureStepState == "IN PROGRESS"


def test_what_was_noted_before_a_kill_is_claimed_after_it(a_workplace: Workplace) -> None:
    a_workplace.schedule()
    performer = a_workplace.performer()
    before = a_workplace.client.change_state

    def dies(*_: object) -> None:
        raise DeliveryError("killed here")

    a_workplace.client.change_state = dies  # type: ignore[method-assign]
    with pytest.raises(DeliveryError):
        performer.round()
    assert a_workplace.there().ProcedureStepState == "SCHEDULED"
    a_workplace.client.change_state = before  # type: ignore[method-assign]
    performer.round()
    assert a_workplace.there().ProcedureStepState == "IN PROGRESS"
    assert a_workplace.here()[0] == "claimed"


def test_only_workitems_of_the_label_are_claimed(a_workplace: Workplace) -> None:
    a_workplace.schedule("SOMEBODY ELSE")
    a_workplace.performer().round()
    assert a_workplace.there().ProcedureStepState == "SCHEDULED"


def test_what_was_taken_away_is_lost(a_workplace: Workplace) -> None:
    a_workplace.schedule()
    performer = a_workplace.performer()
    performer.round()
    with a_workplace.worklist.database.begin() as connection:
        connection.execute(Workitem.__table__.delete())
    performer.round()
    assert a_workplace.here() == ("lost", "it is gone there")


def test_a_wish_to_cancel_is_noted_and_obeyed_in_the_next_round(a_workplace: Workplace) -> None:
    a_workplace.schedule()
    performer = a_workplace.performer()
    performer.round()
    wish = Dataset()
    wish.RequestingAE, wish.ReasonForCancellation = "RIS", "wrong patient"
    listener = UpsListener(a_workplace.database, Trail("receive"))
    for uid in (UID, "2.25.404"):
        assert listener.hear(Asked("SERVER", listener.syntaxes[0], uid, wish, 2)) == (0, None)
    performer.round()
    assert a_workplace.there().ProcedureStepState == "CANCELED"
    assert a_workplace.here() == ("canceled", "RIS asked to cancel: wrong patient")


def test_a_performer_hears_that_somebody_wants_a_cancellation(
    a_workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server reports the wish to our DICOM port, and the next round cancels.

    It does so with the answer to its association request, before we have noted the association.
    """
    opened = AssociationLog.opened

    def slowly(self: AssociationLog, *peer: str) -> str:
        time.sleep(0.3)
        return opened(self, *peer)

    monkeypatch.setattr(AssociationLog, "opened", slowly)
    listener = UpsListener(a_workplace.database, Trail("receive"))
    with (
        HeaderParser() as parser,
        listening(a_desk_in(tmp_path / "desk", parser), listeners=[listener]) as (_, port),
    ):
        known = {"CRDL": ("127.0.0.1", port)}
        teller = Teller(dialler(Settings(), known))
        object.__setattr__(a_workplace.worklist, "known", frozenset(known))
        object.__setattr__(a_workplace.worklist, "tell", teller)
        a_workplace.schedule()
        performer = a_workplace.performer()
        performer.round()
        wish = Dataset()
        wish.ReasonForCancellation = "wrong patient"
        assert a_workplace.worklist.request_cancel(UID, wish, "RIS").done
        wait_for(
            lambda: "workitem-cancel-asked" in a_workplace.events(),
            lambda: str(a_workplace.events()),
        )
        teller.close()
    performer.round()
    assert a_workplace.there().ProcedureStepState == "CANCELED"
    assert a_workplace.here() == ("canceled", "RIS asked to cancel: wrong patient")
