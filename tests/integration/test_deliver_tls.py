"""Delivery over TLS: only to an archive whose certificate our authority has signed."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from node.config import Settings, TlsSettings
from node.deliver.deliver import deliver
from node.deliver.echo import echo
from tests.deliver_fixtures import an_archive, an_object
from tests.peers import require

NOTHING_SENT: frozenset[str] = frozenset()


def a_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for the loopback, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            require("openssl"),
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def an_archives_certificate(tmp_path: Path) -> tuple[Path, Path]:
    return a_certificate(tmp_path, "archive")


@pytest.fixture
def an_archives_tls(an_archives_certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*an_archives_certificate)
    return context


def test_an_archive_with_a_trusted_certificate_gets_the_objects(
    tmp_path: Path, an_archives_certificate: tuple[Path, Path], an_archives_tls: ssl.SSLContext
) -> None:
    settings = Settings(tls=TlsSettings(ca=an_archives_certificate[0]))
    with an_archive(tls=an_archives_tls) as archive:
        assert deliver(archive.destination(), [an_object(tmp_path)], NOTHING_SENT, settings).proven
        assert echo(archive.destination(), settings) > 0


def test_an_archive_with_another_certificate_gets_nothing(
    tmp_path: Path, an_archives_tls: ssl.SSLContext
) -> None:
    other, _ = a_certificate(tmp_path, "other")
    with an_archive(tls=an_archives_tls) as archive:
        (item,) = deliver(
            archive.destination(),
            [an_object(tmp_path)],
            NOTHING_SENT,
            Settings(tls=TlsSettings(ca=other)),
        ).objects
    assert (item.state, item.permanent) == ("failed", False)
    assert "no connection by TLS" in item.detail
    assert archive.received == []


def test_an_archive_that_asks_for_our_certificate_gets_it(
    tmp_path: Path, an_archives_certificate: tuple[Path, Path], an_archives_tls: ssl.SSLContext
) -> None:
    certificate, key = a_certificate(tmp_path, "node")
    an_archives_tls.load_verify_locations(certificate)
    an_archives_tls.verify_mode = ssl.CERT_REQUIRED
    tls = TlsSettings(ca=an_archives_certificate[0], certificate=certificate, key=key)
    with an_archive(tls=an_archives_tls) as archive:
        outcome = deliver(
            archive.destination(), [an_object(tmp_path)], NOTHING_SENT, Settings(tls=tls)
        )
    assert outcome.proven
