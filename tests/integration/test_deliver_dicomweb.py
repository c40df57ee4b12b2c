"""STOW-RS and QIDO-RS to a server that answers whatever a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from node.config import DestinationSettings
from node.deliver import dicomweb
from node.deliver.deliver import deliver
from node.deliver.echo import echo
from node.errors import ConfigurationError, DeliveryError
from tests.deliver_fixtures import SETTINGS, an_object
from tests.peers import free_ports

NOTHING_SENT: frozenset[str] = frozenset()


@dataclass
class AServer:
    """What it answers, and what it got."""

    store: tuple[int, object] = (200, None)
    find: tuple[int, object] = (204, None)
    port: int = 0
    bodies: list[list[bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    @property
    def destination(self) -> DestinationSettings:
        url = f"http://127.0.0.1:{self.port}/dicom-web/"
        return DestinationSettings(name="web", protocol="dicomweb", url=url)


class _Handler(BaseHTTPRequestHandler):
    server_of: ClassVar[AServer]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = BytesParser().parsebytes(head + body).get_payload()
        self.server_of.bodies.append([part.get_payload(decode=True) for part in parts])
        self.server_of.headers.append(dict(self.headers))
        self._answer(*self.server_of.store)

    def do_GET(self) -> None:
        self.server_of.queries.append(self.path)
        self._answer(*self.server_of.find)

    def _answer(self, status: int, document: object) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        body = b"" if document is None else body
        self.send_response(status)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.deliver.deliver.READ_BACK_WAITS_S", (0.01, 0.01))


@pytest.fixture
def a_server() -> Iterator[AServer]:
    state = AServer()
    handler = type("Handler", (_Handler,), {"server_of": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def found(uid: str) -> tuple[int, object]:
    return 200, [{"00080018": {"vr": "UI", "Value": [uid]}}]


def failing(uid: str, reason: int) -> object:
    item = {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
    return {"00081198": {"vr": "SQ", "Value": [item]}}


def storing(uid: str, warning: int | None = None) -> object:
    item: dict[str, object] = {"00081155": {"vr": "UI", "Value": [uid]}}
    if warning is not None:
        item["00081196"] = {"vr": "US", "Value": [warning]}
    return {"00081199": {"vr": "SQ", "Value": [item]}}


def test_the_files_go_out_unchanged_in_one_request_of_known_length(
    a_server: AServer, tmp_path: Path
) -> None:
    objects = [an_object(tmp_path), an_object(tmp_path, 2)]
    deliver(a_server.destination, objects, NOTHING_SENT, SETTINGS)
    assert a_server.bodies == [[item.path.read_bytes() for item in objects]]
    assert "Transfer-Encoding" not in a_server.headers[0]
    assert 'type="application/dicom"' in a_server.headers[0]["Content-Type"]


def test_many_bytes_go_out_in_several_requests(
    a_server: AServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicomweb, "_REQUEST_BYTES", 90_000)
    objects = [an_object(tmp_path, number) for number in range(1, 6)]
    deliver(a_server.destination, objects, NOTHING_SENT, SETTINGS)
    assert [len(parts) for parts in a_server.bodies] == [2, 2, 1]


def test_the_query_names_study_series_and_instance(a_server: AServer, tmp_path: Path) -> None:
    report = an_object(tmp_path)
    a_server.find = found(report.sop_instance_uid)
    assert deliver(a_server.destination, [report], NOTHING_SENT, SETTINGS).proven
    (query,) = a_server.queries
    assert query == (
        f"/dicom-web/studies/{report.study_instance_uid}/series/{report.series_instance_uid}"
        f"/instances?SOPInstanceUID={report.sop_instance_uid}"
    )


def test_a_server_that_accepts_and_drops_an_object_is_caught(
    a_server: AServer, tmp_path: Path
) -> None:
    (item,) = deliver(a_server.destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS).objects
    assert (item.state, item.detail) == ("sent", "not found by query yet")


def test_a_server_that_ignores_the_key_of_the_query_proves_nothing(
    a_server: AServer, tmp_path: Path
) -> None:
    a_server.find = found("2.25.4711")
    (item,) = deliver(a_server.destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS).objects
    assert item.state == "sent"


@pytest.mark.parametrize(
    ("status", "reason", "permanent", "words"),
    [
        (409, 0x0122, True, "refused with 0x0122 SOP class not supported"),
        (202, 0xA700, False, "refused with 0xA700 out of resources"),
        (200, 0xC122, True, "refused with 0xC122 cannot understand"),
        (409, 0x0110, False, "refused with 0x0110 processing failure"),
    ],
)
def test_a_failure_is_judged_by_instance_whatever_the_http_status(
    a_server: AServer, tmp_path: Path, status: int, reason: int, permanent: bool, words: str
) -> None:
    report, other = an_object(tmp_path), an_object(tmp_path, 2)
    a_server.store = (
        status,
        {**failing(report.sop_instance_uid, reason), **storing(other.sop_instance_uid)},
    )
    a_server.find = found(other.sop_instance_uid)
    refused, proven = deliver(a_server.destination, [report, other], NOTHING_SENT, SETTINGS).objects
    assert (refused.state, refused.permanent, refused.detail) == ("failed", permanent, words)
    assert proven.state == "proven"


def test_a_warning_counts_as_stored_and_is_told(a_server: AServer, tmp_path: Path) -> None:
    report = an_object(tmp_path)
    a_server.store = (202, storing(report.sop_instance_uid, 0xB000))
    a_server.find = found(report.sop_instance_uid)
    (item,) = deliver(a_server.destination, [report], NOTHING_SENT, SETTINGS).objects
    assert (item.state, item.detail) == ("proven", "stored with 0xB000 coercion of data elements")


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, True), (415, True), (413, True), (401, False), (429, False), (500, False), (503, False)],
)
def test_an_http_failure_is_permanent_only_if_the_request_is_at_fault(
    a_server: AServer, tmp_path: Path, status: int, permanent: bool
) -> None:
    a_server.store = (status, None)
    (item,) = deliver(a_server.destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS).objects
    assert (item.state, item.permanent) == ("failed", permanent)
    assert f"HTTP {status}" in item.detail


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        [],
        [[]],
        [{"00080018": {"vr": "UI"}}],
        {"error": "no"},
        [{"00080018": "x"}],
        {"00081198": "x", "00081199": {"Value": 3}},
    ],
)
def test_an_answer_that_is_no_dicom_json_proves_nothing(
    a_server: AServer, tmp_path: Path, answer: object
) -> None:
    a_server.store = (200, answer)
    a_server.find = (200, answer)
    (item,) = deliver(a_server.destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS).objects
    assert item.state == "sent"


def test_what_is_stored_where_nothing_can_be_queried_fails_visibly(
    a_server: AServer, tmp_path: Path
) -> None:
    a_server.find = (501, None)
    (item,) = deliver(a_server.destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS).objects
    assert (item.state, item.permanent) == ("failed", True)
    assert "offers no QIDO-RS" in item.detail


def test_a_server_that_is_down_is_an_outcome_without_its_password(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    destination = DestinationSettings(
        name="web", protocol="dicomweb", url=f"http://node:secret@127.0.0.1:{port}/"
    )
    (item,) = deliver(destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS).objects
    assert (item.state, item.permanent) == ("failed", False)
    assert "cannot be reached" in item.detail
    assert "secret" not in item.detail


def test_credentials_of_the_url_are_sent(a_server: AServer, tmp_path: Path) -> None:
    url = a_server.destination.url.replace("127.0.0.1", "node:secret@127.0.0.1")
    destination = DestinationSettings(name="web", protocol="dicomweb", url=url)
    deliver(destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS)
    assert a_server.headers[0]["Authorization"] == "Basic bm9kZTpzZWNyZXQ="


def test_a_url_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    destination = DestinationSettings(name="web", protocol="dicomweb", url="http://host:port/")
    with pytest.raises(ConfigurationError, match="'web' has no valid url"):
        deliver(destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS)


def test_an_echo_to_a_server_that_refuses_is_an_error(a_server: AServer) -> None:
    a_server.find = (500, None)
    with pytest.raises(DeliveryError, match="HTTP 500"):
        echo(a_server.destination, SETTINGS)
