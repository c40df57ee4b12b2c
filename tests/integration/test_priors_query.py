"""Earlier reports of a patient that another installation has put into the archive."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import ComprehensiveSRStorage
from sqlalchemy import select
from sqlalchemy.engine import Engine

from node.audit.tables import Job, LedgerJob
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.config import ReportSettings, Settings
from node.database import open_engine
from node.deliver.priors import Patient, earlier_reports
from node.errors import DeliveryError
from node.jobs.asking import MOST_REPORTS, latest, with_earlier
from node.jobs.assessing import Assessor
from node.jobs.pairing import Pairer
from node.jobs.stages import (
    AssessmentRequest,
    EarlierAnswer,
    EarlierQuestion,
    Prior,
    Stages,
    StoredInstance,
)
from node.jobs.withdrawing import list_reports
from node.report import build_report
from node.report.companions.references import Reference
from node.report.companions.rejection_note import rejection_note
from node.report.request import Predecessor
from node.service.earlier import earlier_stage
from tests.deliver_fixtures import an_archive
from tests.factories import NOON, a_seg, a_segment, an_image
from tests.jobs_fixtures import Rooms, a_database, a_node, a_note, keep
from tests.peers import Orthanc, free_ports, orthanc
from tests.report_fixtures import a_request, a_result
from tests.report_fixtures import an_image as a_picture_of

NOW = "2.25.90"
SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.34"


def a_report(
    patient: str, day: str, name: int, *, issuer: str = "", before: str = "", study: int = 0
) -> bytes:
    """A report of ours as another installation makes it, in the study of `day`."""
    image = a_picture_of(study=f"2.25.4{study or name}", instance=f"2.25.5{name}")
    image.PatientID, image.StudyDate = patient, day
    if issuer:
        image.IssuerOfPatientID = issuer
    superseded = Predecessor(SR_CLASS, before, "2.25.6", image.StudyInstanceUID)
    request = a_request(
        image,
        (a_result(image),),
        uids=lambda kind: f"2.25.7{name}{int.from_bytes(kind.encode()) % 10**20}",
        settings=ReportSettings(companions=()),
        predecessor=superseded if before else None,
    )
    return build_report(request)[0].data


def uid_of(report: bytes) -> str:
    return str(dcmread(BytesIO(report)).SOPInstanceUID)


def give(pacs: Orthanc, *files: bytes) -> None:
    for data in files:
        send(pacs, data)


def send(pacs: Orthanc, data: bytes) -> None:
    httpx.post(f"{pacs.url}/instances", content=data, trust_env=False).raise_for_status()


@pytest.fixture(scope="module")
def the_pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("priors-query")) as peer:
        yield peer


def asking(port: int, *, trend: bool = True) -> Settings:
    pacs = {"name": "pacs", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": port}
    web = {"name": "web", "protocol": "dicomweb", "url": "http://127.0.0.1:1"}
    return Settings.model_validate({"report": {"trend": trend}, "destination": [web, pacs]})


def ask(port: int, patient: str, issuer: str = "", day: str = "20260101") -> EarlierAnswer:
    stage = earlier_stage(asking(port))
    assert stage is not None
    return stage(EarlierQuestion(patient, issuer, NOW, day))


def found(answer: EarlierAnswer) -> list[str]:
    assert not answer.failure
    return [prior.sop_instance_uid for prior in answer.priors]


@pytest.mark.peers
def test_a_report_of_another_installation_is_found_and_read(the_pacs: Orthanc) -> None:
    report = a_report("Q1", "20250910", 11)
    give(the_pacs, report)
    answer = ask(the_pacs.dicom_port, "Q1")
    assert found(answer) == [uid_of(report)]
    (prior,) = answer.priors
    assert (prior.date, prior.tracking_uid) == ("2025-09-10", "2.25.3001")
    assert prior.probability == pytest.approx(0.8310429)
    assert (prior.diameter_mm, prior.prior_shift) == (32.04, None)
    assert (prior.bundle_name, prior.bundle_version) == ("simulated", "1.0.0")


@pytest.mark.peers
def test_the_same_id_of_another_issuer_is_another_patient(the_pacs: Orthanc) -> None:
    ours, theirs = (a_report("Q2", "20250910", 20 + n, issuer="AB"[n]) for n in range(2))
    nobodys = a_report("Q2", "20250910", 22)
    give(the_pacs, ours, theirs, nobodys)
    assert found(ask(the_pacs.dicom_port, "Q2", "A")) == [uid_of(ours)]
    assert found(ask(the_pacs.dicom_port, "Q2", "C")) == []
    assert found(ask(the_pacs.dicom_port, "Q2")) == [uid_of(nobodys)]


@pytest.mark.peers
def test_an_id_that_reads_like_a_pattern_is_nobody_elses(the_pacs: Orthanc) -> None:
    give(the_pacs, a_report("Q3", "20250910", 31))
    assert found(ask(the_pacs.dicom_port, "Q*")) == []
    assert found(ask(the_pacs.dicom_port, "Q?")) == []


@pytest.mark.peers
def test_an_id_beyond_ascii_is_found(the_pacs: Orthanc) -> None:
    report = a_report("Q\u00e41", "20250910", 35)
    give(the_pacs, report)
    assert found(ask(the_pacs.dicom_port, "Q\u00e41")) == [uid_of(report)]


@pytest.mark.peers
def test_somebody_elses_report_is_no_prior(the_pacs: Orthanc) -> None:
    dataset = dcmread(BytesIO(a_report("Q4", "20250910", 41)))
    dataset.Manufacturer = "Somebody else"
    other = BytesIO()
    dataset.save_as(other)
    give(the_pacs, other.getvalue())
    assert found(ask(the_pacs.dicom_port, "Q4")) == []


@pytest.mark.peers
def test_a_study_of_now_or_later_is_not_earlier(the_pacs: Orthanc) -> None:
    give(the_pacs, a_report("Q5", "20250910", 51))
    assert found(ask(the_pacs.dicom_port, "Q5", day="20250909")) == []
    patient = Patient("Q5", "", "2.25.451", "")
    destination = asking(the_pacs.dicom_port).destination[1]
    assert list(earlier_reports(destination, Settings(), patient, 5)) == []


@pytest.mark.peers
def test_the_latest_five_are_told_newest_first(the_pacs: Orthanc) -> None:
    reports = [a_report("Q6", f"202{n}0101", 60 + n) for n in range(6)]
    give(the_pacs, *reports)
    assert found(ask(the_pacs.dicom_port, "Q6")) == [uid_of(one) for one in reports[:0:-1]]


@pytest.mark.peers
def test_a_superseded_report_is_no_prior(the_pacs: Orthanc) -> None:
    old = a_report("Q7", "20250910", 71)
    new = a_report("Q7", "20250910", 72, before=uid_of(old), study=71)
    give(the_pacs, old, new)
    assert found(ask(the_pacs.dicom_port, "Q7")) == [uid_of(new)]


@pytest.mark.peers
def test_a_report_that_was_withdrawn_elsewhere_is_no_prior(the_pacs: Orthanc) -> None:
    report = dcmread(BytesIO(a_report("Q8", "20250910", 81)))
    named = [Reference(SR_CLASS, report.SOPInstanceUID, report.SeriesInstanceUID)]
    note = rejection_note(report, named, "withdrawn", "Wrong.", ("2.25.82", "2.25.83"), NOON)
    give(the_pacs, a_report("Q8", "20250910", 81))
    assert len(found(ask(the_pacs.dicom_port, "Q8"))) == 1
    give(the_pacs, note)
    assert found(ask(the_pacs.dicom_port, "Q8")) == []


def test_a_dead_archive_is_said() -> None:
    answer = ask(free_ports(1)[0], "P")
    assert answer.priors == ()
    assert "cannot be reached" in answer.failure


def test_an_archive_that_does_not_answer_costs_the_wait_once() -> None:
    question = EarlierQuestion("P", "", NOW, "")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stage = earlier_stage(asking(silent.getsockname()[1]), wait_s=2)
        assert stage is not None
        began = time.monotonic()
        answer = stage(question)
        assert time.monotonic() - began < 10
        assert answer.priors == ()
        assert answer.failure
        began = time.monotonic()
        assert "not asked" in stage(question).failure
        assert time.monotonic() - began < 1.5


def test_one_patient_who_cannot_be_asked_about_stops_nobody() -> None:
    with an_archive() as archive:
        stage = earlier_stage(asking(archive.port))
        assert stage is not None
        assert "cannot be asked about" in stage(EarlierQuestion("A\\B", "", NOW, "")).failure
        assert "C-GET" in stage(EarlierQuestion("P", "", NOW, "")).failure


def test_an_archive_without_c_get_has_no_priors() -> None:
    with an_archive() as archive:
        answer = ask(archive.port, "P")
    assert "offers no Study Root C-GET" in answer.failure


def test_an_archive_that_refuses_the_storage_role_has_no_priors() -> None:
    get = "1.2.840.10008.5.1.4.1.2.2.3"
    with an_archive(classes=(get, ComprehensiveSRStorage)) as archive:
        answer = ask(archive.port, "P")
    assert "refuses the storage role" in answer.failure


def test_who_has_no_id_is_not_asked_about() -> None:
    with pytest.raises(DeliveryError):
        Patient("", "", NOW, "")


@pytest.mark.parametrize("trend", [True, False])
def test_nobody_is_asked_without_a_wish_or_an_archive(trend: bool) -> None:
    assert earlier_stage(Settings.model_validate({"report": {"trend": True}})) is None
    assert (earlier_stage(asking(104, trend=trend)) is not None) == trend


class Unheard:
    """An engine that nobody listens to."""

    def enqueue(self, *_: object) -> None:
        """Forget a task."""


@pytest.fixture
def a_ledger(tmp_path: Path) -> Iterator[Engine]:
    with a_database("sqlite", tmp_path) as url:
        database = open_engine(url)
        yield database
        database.dispose()


def a_prior(uid: str, date: str) -> Prior:
    return Prior(uid, "2.25.3001", date, 0.4, None, "b", "1", None)


def a_question(*priors: Prior) -> AssessmentRequest:
    seg = a_seg(patient_id="P", study_date="20260101")
    stored = {seg.sop_instance_uid: StoredInstance(seg, Path("none"))}
    return AssessmentRequest("2.25.1", seg.sop_instance_uid, 1, (), stored, None, NOON, priors)


def asked(database: Engine) -> list[dict[str, object]]:
    with database.connect() as connection:
        rows = select(LedgerJob.detail).where(LedgerJob.event == "priors-asked")
        return list(connection.scalars(rows))


def test_what_the_archive_knows_stands_beside_our_own(a_ledger: Engine) -> None:
    own, theirs = a_prior("2.25.1", "2024-01-01"), a_prior("2.25.2", "2025-01-01")
    request = with_earlier(
        a_question(own), lambda _: EarlierAnswer("pacs", (theirs,)), a_ledger, Trail("work")
    )
    assert request.priors == (theirs, own)
    assert asked(a_ledger) == [{"destination": "pacs", "found": ["2.25.2"], "failure": ""}]


def test_a_failure_is_audited_and_the_report_goes_on(a_ledger: Engine) -> None:
    own = a_prior("2.25.1", "2024-01-01")
    request = with_earlier(
        a_question(own), lambda _: EarlierAnswer("pacs", (), "no answer"), a_ledger, Trail("work")
    )
    assert request.priors == (own,)
    assert asked(a_ledger) == [{"destination": "pacs", "found": [], "failure": "no answer"}]


def test_what_we_reported_ourselves_is_told_by_our_database_alone(tmp_path: Path) -> None:
    """A withdrawn report of ours may still be in the archive."""
    with a_database("sqlite", tmp_path) as url, a_node(url, tmp_path, "one", "pacs") as node:
        node.receive(an_image("1.2.3.1"), a_seg(a_segment(1, "1.2.3.1")))
        node.settles("done")
        (reported,) = list_reports(node.database)
        theirs = a_prior(reported["sr"], "2025-01-01"), a_prior("2.25.2", "2025-01-01")
        request = with_earlier(
            a_question(), lambda _: EarlierAnswer("pacs", theirs), node.database, Trail("work")
        )
    assert request.priors == theirs[1:]


def assessed_with(
    database: Engine, folder: Path, earlier: Callable[[EarlierQuestion], EarlierAnswer] | None
) -> AssessmentRequest:
    """What the model is asked about one job of patient P1 when an archive is asked first."""
    rooms, blobs, trail = Rooms(), BlobStore(folder / "blobs", "work"), Trail("work")
    stages = Stages(
        rooms.pair, rooms.read, rooms.assess, rooms.deliver, lambda *_: None, a_note, (), earlier
    )
    fields = {"patient_id": "Q9", "study_date": "20260101"}
    seg = a_seg(a_segment(1, "1.2.3.1"), **fields)
    with database.begin() as connection:
        keep(connection, an_image("1.2.3.1", **fields))
        seg_id = keep(connection, seg)
    Pairer(database, trail, Unheard(), stages, blobs)(seg_id)
    with database.connect() as connection:
        job = connection.execute(select(Job.id, Job.run)).one()
    Assessor(database, trail, Unheard(), stages, blobs)(job.id, job.run, 1)
    with database.connect() as connection:
        assert connection.scalar(select(Job.state)) == "done"
    (request,) = rooms.requests
    return request


@pytest.mark.peers
def test_the_worker_tells_what_the_archive_holds(
    the_pacs: Orthanc, a_ledger: Engine, tmp_path: Path
) -> None:
    report = a_report("Q9", "20250910", 91)
    give(the_pacs, report)
    stage = earlier_stage(asking(the_pacs.dicom_port))
    (prior,) = assessed_with(a_ledger, tmp_path, stage).priors
    assert prior.sop_instance_uid == uid_of(report)
    (row,) = asked(a_ledger)
    assert row["found"] == [uid_of(report)]


def test_a_dead_archive_does_not_fail_the_job(a_ledger: Engine, tmp_path: Path) -> None:
    stage = earlier_stage(asking(free_ports(1)[0]))
    assert assessed_with(a_ledger, tmp_path, stage).priors == ()
    (row,) = asked(a_ledger)
    assert "cannot be reached" in str(row["failure"])


def test_nobody_is_asked_about_a_patient_without_an_id(a_ledger: Engine) -> None:
    request = a_question()
    header = replace(request.instances[request.seg_uid].header, patient_id="")
    nameless = replace(request, instances={request.seg_uid: StoredInstance(header, Path("none"))})
    assert with_earlier(nameless, lambda _: pytest.fail("asked"), a_ledger, Trail("w")) == nameless
    assert asked(a_ledger) == []


def test_only_the_latest_reports_are_told_each_with_all_its_lesions() -> None:
    priors = [a_prior(f"2.25.{n}", f"202{n}-01-01") for n in range(7) for _ in range(2)]
    told = latest(priors)
    assert len({one.sop_instance_uid for one in told}) == MOST_REPORTS
    assert [one.date[:4] for one in told] == [f"202{n}" for n in (6, 6, 5, 5, 4, 4, 3, 3, 2, 2)]
