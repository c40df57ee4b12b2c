"""STOW-RS and the page over real HTTP: uvicorn on a free port, asked by httpx."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest
import uvicorn
from pydicom.dataset import Dataset
from sqlalchemy import insert

from node.audit.seal import Sealer
from node.audit.tables import Delivery, FindingRow, Job, Report
from node.audit.trail import Trail
from node.database import utc_now
from node.errors import ConfigurationError
from node.receive.parser import HeaderParser
from node.receive.stow import StowService
from node.service.compose import Foundation
from node.service.console import bureau
from node.web.app import create_app
from node.web.console.router import console_router
from node.web.readiness import standard_checks
from tests.receive_fixtures import Desk, a_desk_in, an_ultrasound, encoded
from tests.waiting import wait_for

STOW = 'multipart/related; type="application/dicom"; boundary=XX'


@pytest.fixture(scope="module")
def a_parser() -> Iterator[HeaderParser]:
    with HeaderParser() as parser:
        parser.warm_up()
        yield parser


@dataclass
class Site:
    """A served application and the inbox behind it."""

    url: str
    desk: Desk

    def post(
        self, body: bytes | Iterator[bytes], study: str = "", **headers: str
    ) -> httpx.Response:
        path = f"/dicom-web/studies/{study}" if study else "/dicom-web/studies"
        sent = {"Content-Type": STOW} | {k.replace("_", "-"): v for k, v in headers.items()}
        return httpx.post(self.url + path, content=body, headers=sent, trust_env=False, timeout=30)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, trust_env=False, timeout=30)


class NoQueue:
    """Looking at pages puts no work into a queue."""

    def enqueue(self, connection: object, task: object) -> None:
        raise AssertionError(f"{task} for {connection}")


@contextmanager
def served(desk: Desk) -> Iterator[Site]:
    """The application of a desk, on a free port until the block ends."""
    checks = standard_checks(desk.settings, desk.engine, desk.blobs)
    app = create_app(
        desk.settings,
        StowService(desk.inbox).store,
        desk.engine,
        checks,
        desk.inbox.blobs,
        Trail("web"),
    )
    sealer = Sealer.from_file(desk.settings.audit_key)
    rooms = (desk.settings, desk.engine, desk.blobs, Trail("web", sealer), "1.2", sealer)
    app.include_router(console_router(bureau(Foundation(*rooms), NoQueue())))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", desk)
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def a_site(tmp_path: Path, a_parser: HeaderParser) -> Iterator[Site]:
    with served(a_desk_in(tmp_path, a_parser)) as site:
        yield site


def a_body(*parts: bytes) -> bytes:
    """Return a multipart body of application/dicom parts."""
    head = b"--XX\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + part + b"\r\n" for part in parts) + b"--XX--\r\n"


def response(answer: httpx.Response) -> Dataset:
    """Read a Store Instances Response in the DICOM JSON model (PS3.18 annex F)."""
    return Dataset.from_json(answer.text)


def test_every_stored_instance_is_answered_for(a_site: Site) -> None:
    first, second = an_ultrasound(), an_ultrasound()
    answer = a_site.post(a_body(encoded(first), encoded(second)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    stored = response(answer).ReferencedSOPSequence
    assert [item.ReferencedSOPInstanceUID for item in stored] == [
        first.SOPInstanceUID,
        second.SOPInstanceUID,
    ]
    assert a_site.desk.standings() == ["current", "current"]
    assert a_site.desk.enqueued == [1, 2]
    assert a_site.desk.rows("SELECT DISTINCT source FROM instance") == [("stow@127.0.0.1",)]


def test_an_instance_over_stow_is_a_duplicate_of_the_same_over_stow(a_site: Site) -> None:
    data = encoded(an_ultrasound())
    assert a_site.post(a_body(data)).status_code == 200
    assert a_site.post(a_body(data)).status_code == 200
    assert a_site.desk.events() == ["received", "duplicate"]


def test_a_body_in_small_chunks_is_the_same_body(a_site: Site) -> None:
    body = a_body(encoded(an_ultrasound()))
    answer = a_site.post(body[start : start + 13] for start in range(0, len(body), 13))
    assert answer.status_code == 200


def test_some_failures_are_202_and_say_which_and_why(a_site: Site) -> None:
    good, strange = an_ultrasound(), an_ultrasound(SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    answer = a_site.post(a_body(encoded(good), encoded(strange), b"garbage"))
    assert answer.status_code == 202
    failed = response(answer).FailedSOPSequence
    assert [item.FailureReason for item in failed] == [0x0122, 0xC000]
    assert failed[0].ReferencedSOPInstanceUID == strange.SOPInstanceUID
    assert a_site.desk.standings() == ["current"]


def test_only_failures_are_409(a_site: Site) -> None:
    assert a_site.post(a_body(b"garbage")).status_code == 409
    assert a_site.desk.events() == ["refused"]
    assert a_site.desk.spooled() == []


def test_an_instance_of_another_study_is_not_stored_under_this_one(a_site: Site) -> None:
    data = encoded(an_ultrasound())
    answer = a_site.post(a_body(data), study="1.2.99")
    assert answer.status_code == 409
    assert response(answer).FailedSOPSequence[0].FailureReason == 0xA900
    assert a_site.post(a_body(data), study="1.2.3").status_code == 200


def test_the_response_comes_in_xml_if_so_asked(a_site: Site) -> None:
    dataset = an_ultrasound()
    answer = a_site.post(a_body(encoded(dataset)), Accept="application/dicom+xml")
    assert answer.headers["content-type"] == "application/dicom+xml"
    root = ET.fromstring(answer.content)  # noqa: S314 - our own answer
    values = [element.text for element in root.iter() if element.tag.endswith("Value")]
    assert dataset.SOPInstanceUID in values


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ('multipart/related; type="application/dicom+json"; boundary=XX', b"", 415),
        ("multipart/related; boundary=XX", b"", 400),
        ('multipart/related; type="application/dicom"', a_body(b"x"), 400),
        (STOW, a_body(b"x")[:40], 400),
        (STOW, b"--XX\r\nContent-Type: text/html\r\n\r\nx\r\n--XX--", 400),
    ],
)
def test_a_request_that_is_no_store_request_is_refused(
    a_site: Site, content_type: str, body: bytes, status: int
) -> None:
    answer = a_site.post(body, Content_Type=content_type)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert a_site.desk.spooled() == []


def test_a_full_disk_is_503_with_a_time_to_come_back(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with served(a_desk_in(tmp_path, a_parser, minimum_free_mib=1 << 40)) as site:
        answer = site.post(a_body(encoded(an_ultrasound())))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "30"
        ready = site.get("/readyz")
        assert ready.status_code == 503
        assert "MiB" in ready.json()["checks"]["disk"]
        assert site.get("/livez").status_code == 200


def test_a_broken_off_request_leaves_nothing(a_site: Site) -> None:
    host, port = a_site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: {host}:{port}\r\n"
        head += f"Content-Type: {STOW}\r\nContent-Length: 99999\r\n\r\n"
        connection.sendall(head.encode() + a_body(encoded(an_ultrasound()))[:400])
        wait_for(a_site.desk.spooled)
    wait_for(lambda: not a_site.desk.spooled())
    assert a_site.desk.standings() == []


def test_a_ready_node_says_so(a_site: Site) -> None:
    answer = a_site.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["checks"] == {"database": "ok", "store": "ok", "disk": "ok"}


def test_an_empty_node_says_what_to_send(a_site: Site) -> None:
    assert a_site.get("/").headers["location"] == "/console"
    page = a_site.get("/console/studies")
    assert "No study yet. Send an ultrasound image" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert a_site.get("/api/jobs").json() == []


def with_a_job(desk: Desk) -> None:
    """Write a job of two cases whose SR is proven in one place and underway to another."""
    now = utc_now()
    with desk.engine.begin() as connection:
        job = {"id": 1, "seg_uid": "1.9", "generation": 2, "state": "delivering", "cases": {}}
        job |= {"reason": "", "study_instance_uid": "1.2.3", "patient_id": "<b>P1</b>", "run": 0}
        connection.execute(insert(Job).values(created_at=now, updated_at=now, **job))
        finding = {"job_id": 1, "finding": {}, "bundle_sha256": "0" * 64, "created_at": now}
        for values in (
            {"case_name": "1.9#1", "status": "assessed", "probability": 0.875}
            | {"malignancy": "malignant", "refusal_code": None},
            {"case_name": "1.9#2", "status": "refused", "probability": None}
            | {"malignancy": None, "refusal_code": "empty-mask"},
        ):
            connection.execute(insert(FindingRow).values(**finding, **values))
        report = {"job_id": 1, "sop_class_uid": "1.2", "series_instance_uid": "1.3", "size": 1}
        report |= {"study_instance_uid": "1.2.3", "blob_sha256": "0" * 64, "created_at": now}
        for number, kind in ((1, "sr"), (2, "sc")):
            values = {"id": number, "kind": kind, "sop_instance_uid": f"1.5.{number}"}
            connection.execute(insert(Report).values(**report, **values))
            for name, state in (("pacs", "proven"), ("web", "proven" if number == 1 else "sent")):
                delivery = {"report_id": number, "job_id": 1, "destination": name}
                delivery |= {"state": state, "attempts": 1, "last_error": "", "updated_at": now}
                connection.execute(insert(Delivery).values(**delivery))


def test_the_page_shows_jobs_with_probability_and_delivery(a_site: Site) -> None:
    with_a_job(a_site.desk)
    a_site.desk.accept(an_ultrasound(PatientID="<b>P1</b>"))
    page = a_site.get("/console/studies").text
    assert "87.5 %" in page
    assert "Not assessed: empty-mask" in page
    assert "&lt;b&gt;P1&lt;/b&gt;" in page
    assert "<b>P1" not in page
    (job,) = a_site.get("/api/jobs").json()
    assert job["deliveries"] == [["pacs", "proven"], ["web", "sent"]]
    assert [case["probability"] for case in job["cases"]] == [0.875, None]


def test_a_page_of_another_name_gets_nothing(a_site: Site) -> None:
    assert a_site.get("/", Host="evil.example").status_code == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "node.hospital.example", "::"])  # noqa: S104 - refused
def test_listening_beyond_this_machine_is_refused(
    tmp_path: Path, a_parser: HeaderParser, host: str
) -> None:
    desk = a_desk_in(tmp_path, a_parser)
    web = desk.settings.web.model_copy(update={"host": host})
    settings = desk.settings.model_copy(update={"web": web})
    with pytest.raises(ConfigurationError, match="no authentication"):
        create_app(
            settings, StowService(desk.inbox).store, desk.engine, {}, desk.inbox.blobs, Trail("web")
        )
