"""Who may open an association, in the clear and over TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.audit.trail import Trail
from node.errors import ConfigurationError
from node.receive.scp import Receiver
from tests.peers import require
from tests.receive_fixtures import (
    Desk,
    an_associate_request,
    an_ultrasound,
    listening,
    written,
)
from tests.receive_peers import (
    associate,
    send,
)
from tests.waiting import wait_for


@pytest.mark.parametrize(
    ("settings", "calling", "called", "source_and_reason"),
    [
        ({}, "TEST", "WRONG", (1, 7)),
        ({"calling_ae_titles": ("SCANNER",)}, "TEST", "CRDL", (1, 3)),
        ({}, "<blank>", "CRDL", (1, 3)),
    ],
)
def test_who_is_not_admitted_is_told_why_and_recorded(
    a_desk_with: Callable[..., Desk],
    settings: dict[str, Any],
    calling: str,
    called: str,
    source_and_reason: tuple[int, int],
) -> None:
    desk = a_desk_with(**settings)
    with listening(desk) as address:
        association = associate(address, calling=calling, called=called)
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert answer is not None
        assert (answer.result_source, answer.diagnostic) == source_and_reason
        wait_for(lambda: desk.rows("SELECT 1 FROM ledger_association"))
    assert desk.rows("SELECT event FROM ledger_association") == [("rejected",)]
    assert desk.rows("SELECT id FROM association") == []


def test_a_blank_calling_title_is_admitted_if_so_configured(
    a_desk_with: Callable[..., Desk],
) -> None:
    with listening(a_desk_with(allow_blank_calling_ae=True)) as address:
        for title in ("", "\0" * 16):
            with socket.create_connection(address) as connection:
                connection.sendall(an_associate_request(calling=title))
                connection.settimeout(5)
                assert connection.recv(1) == b"\x02"  # A-ASSOCIATE-AC, PS3.8 section 9.3.3


def test_a_blank_calling_title_is_rejected_rather_than_aborted(
    a_desk: Desk, a_receiver: tuple[str, int]
) -> None:
    with socket.create_connection(a_receiver) as connection:
        connection.sendall(an_associate_request(calling=""))
        connection.settimeout(5)
        answer = connection.recv(10)
    # A-ASSOCIATE-RJ: permanent, by the user, calling AE title not recognized (PS3.8 table 9-21)
    assert (answer[0], answer[7:10]) == (3, b"\x01\x01\x03")
    wait_for(lambda: a_desk.rows("SELECT 1 FROM ledger_association WHERE event = 'rejected'"))


def test_an_allowed_title_is_admitted(a_desk_with: Callable[..., Desk]) -> None:
    with listening(a_desk_with(calling_ae_titles=("SCANNER",))) as address:
        association = associate(address, calling="SCANNER")
        assert association.is_established
        association.release()


def a_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for localhost and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_over_tls_an_instance_arrives_and_plain_peers_hold_up_nobody(
    a_desk: Desk, tmp_path: Path
) -> None:
    require("openssl")
    certificate, key = a_certificate(tmp_path)
    tls = a_desk.settings.tls.model_copy(update={"certificate": certificate, "key": key})
    settings = a_desk.settings.model_copy(update={"tls": tls})
    receiver = Receiver(settings, a_desk.inbox, a_desk.engine, Trail("receive"))
    address = receiver.start()
    try:
        client = ssl.create_default_context(cafile=certificate)
        with socket.create_connection(address):  # silent: it never shakes hands
            association = associate(address, tls=client)
            assert send(association, written(tmp_path, an_ultrasound())) == 0x0000
            association.release()
    finally:
        receiver.stop(drain_s=5)
    assert a_desk.standings() == ["current"]


def test_missing_tls_files_are_a_configuration_error(a_desk: Desk, tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    tls = a_desk.settings.tls.model_copy(update={"certificate": missing, "key": missing})
    settings = a_desk.settings.model_copy(update={"tls": tls})
    receiver = Receiver(settings, a_desk.inbox, a_desk.engine, Trail("receive"))
    with pytest.raises(ConfigurationError, match="tls"):
        receiver.start()
