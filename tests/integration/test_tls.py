"""Mutual TLS by BCP 195, who is known by certificate, and certificates that are renewed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.audit.trail import Trail
from node.config import TlsSettings
from node.config.network import TlsPeerSettings
from node.database import open_engine
from node.errors import ConfigurationError
from node.receive.scp import Receiver
from node.service.checks import examine
from node.tls import CIPHERS, fingerprint, fingerprint_of, server_context
from tests.certificates import Authority, Issued, openssl
from tests.node_process import crdl, write_config
from tests.peers import require
from tests.receive_fixtures import Desk, an_ultrasound, written
from tests.receive_peers import associate, send
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def an_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def a_server(an_authority: Authority) -> Issued:
    return an_authority.issue("node")


@pytest.fixture(scope="module")
def a_scanner(an_authority: Authority) -> Issued:
    return an_authority.issue("scanner")


def as_client(authority: Authority, own: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


@contextmanager
def encrypted(desk: Desk, server: Issued, **tls: Any) -> Iterator[tuple[str, int]]:
    """A receiver with the server's certificate."""
    section = TlsSettings(certificate=server.certificate, key=server.key, **tls)
    settings = desk.settings.model_copy(update={"tls": section})
    receiver = Receiver(settings, desk.inbox, desk.engine, Trail("receive"))
    address = receiver.start()
    try:
        yield address
    finally:
        receiver.stop(drain_s=5)


@pytest.fixture
def mutual(an_authority: Authority) -> dict[str, Any]:
    return {"ca": an_authority.certificate, "require_client_certificate": True}


def is_served(address: tuple[str, int], client: ssl.SSLContext, calling: str = "TEST") -> bool:
    association = associate(address, tls=client, calling=calling)
    if association.is_established:
        association.release()
        return True
    return False


def test_only_who_shows_a_certificate_of_the_authority_is_let_in(
    a_desk: Desk,
    an_authority: Authority,
    a_server: Issued,
    a_scanner: Issued,
    mutual: dict[str, Any],
    tmp_path: Path,
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("scanner")
    with encrypted(a_desk, a_server, **mutual) as address:
        assert is_served(address, as_client(an_authority, a_scanner))
        assert not is_served(address, as_client(an_authority))
        assert not is_served(address, as_client(an_authority, stranger))
    ((certificate,),) = a_desk.rows(
        "SELECT json_extract(detail, '$.certificate') FROM ledger_association "
        "WHERE event = 'opened'"
    )
    assert certificate == fingerprint_of(a_scanner.certificate)


@pytest.mark.parametrize("by", ["fingerprint", "subject"])
def test_only_a_listed_certificate_is_let_in_and_only_under_its_title(
    a_desk: Desk,
    an_authority: Authority,
    a_server: Issued,
    a_scanner: Issued,
    mutual: dict[str, Any],
    by: str,
) -> None:
    other = an_authority.issue(f"other-{by}")
    mark = fingerprint_of(a_scanner.certificate) if by == "fingerprint" else "CN=scanner,O=Hospital"
    peers = (TlsPeerSettings(certificate=mark, ae_title="SCANNER"),)
    with encrypted(a_desk, a_server, **mutual, peers=peers) as address:
        assert is_served(address, as_client(an_authority, a_scanner), "SCANNER")
        assert not is_served(address, as_client(an_authority, a_scanner), "PACS")
        assert not is_served(address, as_client(an_authority, other), "SCANNER")
        wait_for(lambda: len(_reasons(a_desk)) == 2)
    assert _reasons(a_desk) == [
        "calling AE title 'PACS' is not that of its certificate",
        "its certificate is not among tls.peers",
    ]


def _reasons(desk: Desk) -> list[str]:
    rows = desk.rows(
        "SELECT json_extract(detail, '$.reason') FROM ledger_association "
        "WHERE event = 'rejected' ORDER BY id"
    )
    return [row[0] for row in rows]


def test_a_subject_is_written_as_openssl_prints_it(a_scanner: Issued) -> None:
    printed = openssl(
        *("x509", "-in", a_scanner.certificate, "-noout", "-subject", "-nameopt", "RFC2253")
    )
    assert printed.strip() == "subject=CN=scanner,O=Hospital"


@pytest.mark.parametrize(
    ("version", "ciphers", "speaks"),
    [
        *[
            (ssl.TLSVersion.TLSv1_2, cipher, True)
            for cipher in CIPHERS.split(":")
            if "RSA" in cipher
        ],
        (ssl.TLSVersion.TLSv1_3, "DEFAULT", True),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256", False),  # no forward secrecy
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA256", False),  # no authenticated encryption
        (ssl.TLSVersion.TLSv1_1, "DEFAULT:@SECLEVEL=0", False),
    ],
)
def test_the_ciphers_are_those_of_bcp_195(
    an_authority: Authority,
    a_server: Issued,
    version: ssl.TLSVersion,
    ciphers: str,
    *,
    speaks: bool,
) -> None:
    client = as_client(an_authority)
    client.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    client.maximum_version = version
    client.set_ciphers(ciphers)
    assert _handshake(server_context(_Files(a_server)), client) is speaks


class _Files:
    """The files of a server as the configuration names them."""

    key_password_file = None

    def __init__(self, issued: Issued) -> None:
        self.certificate: Path | None = issued.certificate
        self.key: Path | None = issued.key


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Shake hands in memory."""
    ends = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
    there, back = ends[0]
    sides = [
        client.wrap_bio(back, there, server_hostname="localhost"),
        server.wrap_bio(there, back, server_side=True),
    ]
    done = [False, False]
    for turn in range(10):
        side = turn % 2
        try:
            sides[side].do_handshake()
            done[side] = True
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
    return all(done)


def test_a_renewed_certificate_is_shown_without_a_restart(
    a_desk: Desk, an_authority: Authority, tmp_path: Path
) -> None:
    first, second = an_authority.issue("first"), an_authority.issue("second")
    served = Issued(tmp_path / "node.pem", tmp_path / "node.key")
    _copy(first, served)
    with encrypted(a_desk, served) as address:
        assert _shown(address) == fingerprint_of(first.certificate)
        held = associate(address, tls=as_client(an_authority))
        served.certificate.write_text("half a file")
        time.sleep(1.1)
        assert _shown(address) == fingerprint_of(first.certificate)
        _copy(second, served)
        wait_for(lambda: _shown(address) == fingerprint_of(second.certificate))
        assert send(held, written(tmp_path, an_ultrasound())) == 0x0000
        held.release()
        wait_for(lambda: _renewals(a_desk))
    assert _renewals(a_desk) == [("dicom", fingerprint_of(second.certificate))]


def _renewals(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.rows(
        "SELECT subject, json_extract(detail, '$.certificate') FROM ledger_system "
        "WHERE event = 'certificate-renewed'"
    )


def _copy(source: Issued, target: Issued) -> None:
    shutil.copy(source.key, target.key)
    shutil.copy(source.certificate, target.certificate)


def _shown(address: tuple[str, int]) -> str:
    """Return the fingerprint of the certificate that a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address, 5) as raw, context.wrap_socket(raw) as secure:
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    return fingerprint(der)


def test_an_encrypted_key_needs_the_file_with_its_password(
    a_desk: Desk, an_authority: Authority, tmp_path: Path
) -> None:
    hidden = an_authority.issue("hidden", "correct horse")
    with pytest.raises(ConfigurationError, match="key_password_file is not set"):  # noqa: SIM117
        with encrypted(a_desk, hidden):
            pass
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    with encrypted(a_desk, hidden, key_password_file=secret) as address:
        assert is_served(address, as_client(an_authority))
    secret.write_text("wrong battery")
    with (
        pytest.raises(ConfigurationError) as caught,
        encrypted(a_desk, hidden, key_password_file=secret),
    ):
        pass
    assert "wrong battery" not in str(caught.value)


@pytest.mark.peers
def test_dcmtk_sends_over_mutual_tls(
    a_desk: Desk,
    an_authority: Authority,
    a_server: Issued,
    a_scanner: Issued,
    mutual: dict[str, Any],
    tmp_path: Path,
) -> None:
    storescu = require("/usr/bin/storescu")
    file = written(tmp_path, an_ultrasound())
    with encrypted(a_desk, a_server, **mutual) as (host, port):
        done = subprocess.run(
            [
                *(storescu, "-aec", "CRDL", "+tls", a_scanner.key, a_scanner.certificate),
                *("+cf", an_authority.certificate, "+px", host, str(port), file),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
    assert done.returncode == 0, done.stderr
    assert a_desk.standings() == ["current"]


def test_receiver_and_web_serve_tls_and_renew_on_sighup(
    an_authority: Authority, a_server: Issued, tmp_path: Path
) -> None:
    files = Issued(tmp_path / "tls.pem", tmp_path / "tls.key")
    _copy(a_server, files)
    url = tmp_path / "database.url"
    url.write_text(f"sqlite:///{tmp_path / 'data' / 'node.db'}\n")
    pem = (
        f"certificate = {json.dumps(str(files.certificate))}\nkey = {json.dumps(str(files.key))}\n"
    )
    extra = f"{pem}[tls]\n{pem}[database]\nurl_file = {json.dumps(str(url))}\n"
    config = write_config(tmp_path, [], extra)
    supervise = (
        "from node.service.supervisor import Supervisor; "
        f"raise SystemExit(Supervisor(['--config', {str(config)!r}], ('receive', 'web')).run())"
    )
    process = subprocess.Popen([sys.executable, "-c", supervise], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        served = dict(pair.split("=", 1) for pair in process.stdout.readline().split()[1:])
        assert served["web"].startswith("https://")
        with httpx.Client(verify=as_client(an_authority), timeout=20) as web:
            assert web.get(f"{served['web']}/livez").status_code == 200
        _copy(an_authority.issue("renewed"), files)
        process.send_signal(signal.SIGHUP)
        renewed = fingerprint_of(files.certificate)
        for listening in (served["web"].removeprefix("https://"), served["dicom"]):
            port = int(listening.rpartition(":")[2])
            wait_for(lambda port=port: _shown(("127.0.0.1", port)) == renewed, 20)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) == 0
    database = open_engine(url.read_text().strip())
    with database.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT subject FROM ledger_system WHERE event = 'certificate-renewed'"
        ).scalars()
        assert set(rows) == {"dicom", "web"}


def test_no_secret_is_in_what_the_doctor_or_an_error_says(
    a_desk_with: Callable[..., Desk], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "s3cret-passw0rd"  # noqa: S105 - the secret that must not be seen
    settings = a_desk_with().settings.model_copy(
        update={
            "database": a_desk_with().settings.database.model_copy(
                update={"url": f"postgresql+psycopg://node:{secret}@127.0.0.1:1/none"}
            )
        }
    )
    said = [f"{check.name} {check.text}" for check in examine(settings)]
    assert any("database" in line for line in said)
    assert secret not in "\n".join(said)
    assert secret not in repr(settings)
    with pytest.raises(ConfigurationError) as caught:
        open_engine(f"postgresql+psycopg//node:{secret}@host")
    assert secret not in str(caught.value)
    config = write_config(tmp_path, [], f'[database]\nurl = "mysql://node:{secret}@host/x"\n')
    done = crdl("jobs", "list", "--config", str(config), check=False)
    assert done.returncode == 1
    assert secret not in done.stdout + done.stderr + capfd.readouterr().err
