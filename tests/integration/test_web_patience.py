"""HTTP peers that are slow, silent or send what is none: each is let go, and the next is served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from node.audit.seal import Sealer
from node.audit.trail import Trail
from node.receive.stow import StowService
from node.service.compose import Foundation
from node.service.web_server import web_server
from node.web.app import create_app
from tests.receive_fixtures import Desk, an_ultrasound, closed_within, encoded

HEAD = (
    b"POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    b'Content-Type: multipart/related; type="application/dicom"; boundary=XX\r\n\r\n'
)
PART = b"--XX\r\nContent-Type: application/dicom\r\n\r\n"


@contextmanager
def served(desk: Desk) -> Iterator[tuple[str, int]]:
    """The web of a desk as the node serves it."""
    trail, sealer = Trail("web"), Sealer.from_file(desk.settings.audit_key)
    stow = StowService(desk.inbox, limits=desk.settings.limits)
    app = create_app(desk.settings, stow.store, desk.engine, {}, desk.blobs, trail)
    rooms = (desk.settings, desk.engine, desk.blobs, trail, "1.2", sealer)
    server = web_server(app, Foundation(*rooms))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listener.getsockname()[:2]
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def an_impatient_web(a_desk_with: Callable[..., Desk]) -> Iterator[tuple[Desk, tuple[str, int]]]:
    desk = a_desk_with(limits={"request_s": 1.5, "pdu_s": 1.5, "maximum_instance_mib": 1})
    with served(desk) as address:
        yield desk, address


def store(address: tuple[str, int], *parts: bytes) -> httpx.Response:
    body = b"".join(PART + part + b"\r\n" for part in parts) + b"--XX--\r\n"
    return httpx.post(
        f"http://localhost:{address[1]}/dicom-web/studies",
        content=body,
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=XX'},
        trust_env=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    "said",
    [b"", b"POST /dicom-web", HEAD[:-2], HEAD, HEAD + PART + b"half"],
    ids=["nothing", "half a line", "a head without end", "no body", "half a body"],
)
def test_a_peer_that_stops_talking_is_let_go(
    an_impatient_web: tuple[Desk, tuple[str, int]], said: bytes
) -> None:
    desk, address = an_impatient_web
    with socket.create_connection(address) as connection:
        connection.sendall(said)
        assert closed_within(connection, 30)
    assert store(address, encoded(an_ultrasound())).status_code == 200
    assert desk.standings() == ["current"]
    assert desk.spooled() == []


def test_a_part_that_is_too_large_is_413_and_the_rest_is_stored(
    an_impatient_web: tuple[Desk, tuple[str, int]],
) -> None:
    desk, address = an_impatient_web
    large = encoded(an_ultrasound(Rows=1024, Columns=1100, PixelData=bytes(1024 * 1100)))
    assert store(address, large).status_code == 413
    assert store(address, large, encoded(an_ultrasound())).status_code == 202
    assert desk.events() == ["refused", "refused", "received"]


def test_a_body_that_is_none_is_400_and_recorded(
    an_impatient_web: tuple[Desk, tuple[str, int]],
) -> None:
    desk, address = an_impatient_web
    answer = httpx.post(
        f"http://localhost:{address[1]}/dicom-web/studies",
        content=b"--XX\r\nnonsense",
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=XX'},
        trust_env=False,
    )
    assert answer.status_code == 400
    assert desk.events() == ["refused"]
