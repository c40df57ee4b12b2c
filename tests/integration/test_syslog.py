"""The audit reaches a real TLS collector: in order, at least once, also when that was away."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from node.audit import schema
from node.audit.chain import Chainer
from node.audit.export import Format, export
from node.audit.query import Question
from node.audit.seal import Sealer
from node.audit.trail import Trail
from node.config import SyslogSettings
from node.database import open_engine
from node.errors import ConfigurationError
from node.service import syslog
from node.service.syslog import Syslog, tls_context

ROOT = Path(__file__).parents[2]
SCHEMA = etree.RelaxNG(etree.parse(ROOT / "tests" / "reference" / "audit_message.rng"))
RFC5424 = re.compile(rb"<(\d+)>1 (\S+) (\S+) crdl-node (\d+) (\S+) - \xef\xbb\xbf(.*)", re.DOTALL)


@pytest.fixture
def a_certificate(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "collector.pem", tmp_path / "collector.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


class Site:
    """A node's audit, and a collector that comes and goes."""

    def __init__(self, folder: Path, certificate: Path, key: Path) -> None:
        self.database = open_engine(f"sqlite:///{folder / 'node.db'}")
        schema.upgrade(self.database)
        self.sealer = Sealer.from_file(folder / "audit.key")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.certificate, self.key = certificate, key
        self.log = folder / "collected"
        self.log.touch()
        self.written = 0
        self._process: subprocess.Popen[str] | None = None

    def write(self, rows: int) -> None:
        trail = Trail("receive", self.sealer)
        with self.database.begin() as connection:
            for _ in range(rows):
                self.written += 1
                uid = f"1.2.{self.written}"
                facts = {"source": "US1@192.0.2.7", "sop_class": "1.2.840"}
                trail.record(connection, "instance", "received", uid, facts, study="1.2")
                trail.record(connection, "job", "queued", f"{uid}/1")  # no DICOM message
        Chainer(self.database, self.sealer).advance()

    def collect(self, *, dies_after: int | None = None) -> None:
        limit = [] if dies_after is None else [str(dies_after)]
        script = str(ROOT / "tests" / "collector.py")
        arguments = [self.port, self.certificate, self.key, self.log, *limit]
        self._process = subprocess.Popen(
            [sys.executable, script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def end_collector(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def sender(self, ca: Path | None = None) -> Syslog:
        settings = SyslogSettings(host="localhost", port=self.port, ca=ca or self.certificate)
        return Syslog(self.database, self.sealer, settings, "CRDL", "node.example")

    def collected(self, kind: bytes = b"DICOM+RFC3881") -> list[bytes]:
        found = [RFC5424.fullmatch(line) for line in self.log.read_bytes().splitlines()]
        assert all(found)
        return [match[6] for match in found if match is not None and match[5] == kind]

    def uids(self) -> list[int]:
        """Return the numbers of the instances, as they arrived."""
        found = [etree.fromstring(one).find(".//Instance").get("UID") for one in self.collected()]
        return [int(uid.rpartition(".")[2]) for uid in found]


@pytest.fixture
def a_site(tmp_path: Path, a_certificate: tuple[Path, Path]) -> Iterator[Site]:
    site = Site(tmp_path, *a_certificate)
    yield site
    site.end_collector()
    site.database.dispose()


def test_every_message_arrives_once_in_order_and_fits_the_standard(a_site: Site) -> None:
    a_site.collect()
    a_site.write(3)
    assert a_site.sender().advance() == 3 + 1  # and the chain's end
    assert a_site.uids() == [1, 2, 3]
    for one in a_site.collected():
        SCHEMA.assertValid(etree.fromstring(one))
    assert b"85" in {RFC5424.fullmatch(line)[1] for line in a_site.log.read_bytes().splitlines()}
    assert b"signature" in a_site.collected(b"CRDL+CHAINHEAD")[0]


def test_what_was_sent_is_not_sent_again_by_a_restarted_node(a_site: Site) -> None:
    a_site.collect()
    a_site.write(2)
    a_site.sender().advance()
    assert a_site.sender().advance() == 0
    a_site.write(1)
    a_site.sender().advance()
    assert a_site.uids() == [1, 2, 3]


def test_nothing_is_lost_while_the_collector_is_away(a_site: Site) -> None:
    a_site.write(2)
    with pytest.raises(OSError, match="refused"):
        a_site.sender().advance()
    a_site.write(2)
    a_site.collect()
    a_site.sender().advance()
    assert a_site.uids() == [1, 2, 3, 4]


@pytest.mark.parametrize("dies_after", [1, 7, 40])
def test_a_collector_that_dies_in_the_middle_gets_the_rest_when_it_is_back(
    a_site: Site, dies_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "BATCH", 15)
    a_site.write(40)
    a_site.collect(dies_after=dies_after)
    sender = a_site.sender()
    with pytest.raises((ConnectionError, ssl.SSLError)):
        sender.advance()
    a_site.end_collector()
    a_site.collect()
    sender.advance()
    arrived = a_site.uids()
    assert set(arrived) == set(range(1, 41))
    first = list(dict.fromkeys(arrived))
    assert first == sorted(first)
    assert len(arrived) <= 40 + 15  # at most one batch twice


def test_a_collector_with_another_certificate_gets_nothing(
    a_site: Site, tmp_path: Path, a_certificate: tuple[Path, Path]
) -> None:
    del a_certificate
    other = tmp_path / "other.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=other"),
            *("-keyout", str(tmp_path / "other.key"), "-out", str(other)),
        ],
        check=True,
        capture_output=True,
    )
    a_site.collect()
    a_site.write(1)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        a_site.sender(ca=other).advance()
    assert a_site.collected() == []


def test_a_file_that_is_no_certificate_is_said(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"\[syslog\]"):
        tls_context(SyslogSettings(host="localhost", ca=tmp_path / "ca.pem"))


@pytest.mark.parametrize("form", ["ndjson", "atna"])
def test_the_same_messages_are_exported_as_fhir_and_as_dicom(
    a_site: Site, tmp_path: Path, form: Format
) -> None:
    a_site.write(2)
    out = tmp_path / f"audit.{form}"
    assert export(a_site.database, Question(), out, form, "HERE") == 2
    lines = out.read_bytes().splitlines()
    assert len(lines) == 2
    for line in lines:
        if form == "atna":
            SCHEMA.assertValid(etree.fromstring(line))
        else:
            assert json.loads(line)["source"]["observer"]["display"] == "HERE"
