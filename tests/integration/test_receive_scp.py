"""The receiver with real senders: dcmtk, pynetdicom, and some that mean harm."""

from __future__ import annotations

import io
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, examples
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, Association, build_context
from pynetdicom.presentation import PresentationContext
from sqlalchemy import insert

from node.audit import tables
from node.audit.trail import Trail
from node.database import utc_now
from node.errors import ConfigurationError
from node.receive.parser import HeaderParser
from node.receive.scp import Receiver
from tests.peers import require, storescu
from tests.receive_fixtures import (
    LABEL_MAP_SEG,
    SEG,
    US,
    US_MULTIFRAME_RETIRED,
    US_RETIRED,
    Desk,
    a_desk_in,
    a_segmentation,
    a_source,
    an_associate_request,
    an_ultrasound,
    closed_within,
    derived_from,
    encoded,
    listening,
    written,
)

ENCAPSULATED = (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2K,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    RLELossless,
    MPEG4HP41,
)


@pytest.fixture(scope="module")
def a_parser() -> Iterator[HeaderParser]:
    with HeaderParser() as parser:
        parser.warm_up()
        yield parser


@pytest.fixture
def a_desk(tmp_path: Path, a_parser: HeaderParser) -> Desk:
    return a_desk_in(tmp_path, a_parser)


@pytest.fixture
def a_receiver(a_desk: Desk) -> Iterator[tuple[str, int]]:
    with listening(a_desk) as address:
        yield address


@pytest.fixture
def a_desk_with(tmp_path: Path, a_parser: HeaderParser) -> Callable[..., Desk]:
    return lambda **node: a_desk_in(tmp_path, a_parser, **node)


def associate(
    address: tuple[str, int],
    *contexts: PresentationContext,
    calling: str = "TEST",
    called: str = "CRDL",
    tls: ssl.SSLContext | None = None,
) -> Association:
    """Open an association with pynetdicom."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    entity.requested_contexts = list(contexts) or [build_context(US, ExplicitVRLittleEndian)]
    tls_args = (tls, "localhost") if tls else None
    return entity.associate(*address, ae_title=called, tls_args=tls_args)


def encapsulated(transfer_syntax: str) -> bytes:
    """Return a US whose pixel data is one fragment that no decoder has to like."""
    dataset = an_ultrasound()
    fragment = b"\xff\xd8fragment\xff\xd9"
    dataset.PixelData = encapsulate([fragment])
    dataset["PixelData"].is_undefined_length = True
    return encoded(dataset, transfer_syntax)


def send(association: Association, path: Path) -> int:
    """Send a file; return the status of the answer."""
    answer = association.send_c_store(dcmread(path))
    return int(answer.Status) if answer else -1


@pytest.mark.peers
def test_echoscu_gets_its_echo(a_receiver: tuple[str, int]) -> None:
    host, port = a_receiver
    run = subprocess.run([require("echoscu"), "-aec", "CRDL", host, str(port)], check=False)
    assert run.returncode == 0


@pytest.mark.peers
def test_storescu_sends_real_images_and_a_seg_and_every_pixel_is_kept(
    a_desk: Desk, a_receiver: tuple[str, int], tmp_path: Path
) -> None:
    seg = a_segmentation([derived_from(a_source("1.2.9"), segment=1)])
    names = ("palette_color", "ybr_color", "jpeg2k", "rgb_color")
    files = [Path(str(examples.get_path(name))) for name in names] + [written(tmp_path, seg)]
    storescu(*a_receiver, files)
    assert a_desk.standings() == ["current"] * 5
    assert len(a_desk.enqueued) == 5
    kept = a_desk.rows("SELECT blob_sha256 FROM instance ORDER BY id")
    for path, (sha256,) in zip(files, kept, strict=True):
        with a_desk.blobs.open(sha256) as file:
            ours = dcmread(file)
        theirs = dcmread(path)  # dcmtk leaves out group lengths, so the files differ elsewhere
        assert ours.PixelData == theirs.PixelData
        assert ours.PatientID == theirs.PatientID
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("syntax", ENCAPSULATED, ids=lambda uid: uid.name)
def test_every_compressed_transfer_syntax_is_kept(
    a_desk: Desk, a_receiver: tuple[str, int], tmp_path: Path, syntax: str
) -> None:
    path = tmp_path / "sent.dcm"
    path.write_bytes(encapsulated(syntax))
    association = associate(a_receiver, build_context(US, syntax))
    assert send(association, path) == 0x0000
    association.release()
    ((header,),) = a_desk.rows("SELECT header FROM instance")
    assert f'"{syntax}"' in header


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize("sop_class", [US, US_RETIRED, US_MULTIFRAME_RETIRED, SEG, LABEL_MAP_SEG])
def test_every_class_comes_in_every_uncompressed_syntax(
    a_desk: Desk, a_receiver: tuple[str, int], tmp_path: Path, sop_class: str, syntax: str
) -> None:
    path = written(tmp_path, an_ultrasound(SOPClassUID=sop_class), syntax)
    association = associate(a_receiver, build_context(sop_class, syntax))
    assert send(association, path) == 0x0000
    association.release()
    assert a_desk.standings() == ["current"]


def test_deflated_is_not_even_negotiated(a_receiver: tuple[str, int]) -> None:
    association = associate(
        a_receiver,
        build_context(US, DeflatedExplicitVRLittleEndian),
        build_context(SEG, ExplicitVRLittleEndian),
    )
    assert [str(context.abstract_syntax) for context in association.accepted_contexts] == [SEG]
    association.release()


def test_deflated_is_accepted_on_request(a_desk_with: Callable[..., Desk], tmp_path: Path) -> None:
    desk = a_desk_with(accept_deflated=True)
    path = written(tmp_path, an_ultrasound(), DeflatedExplicitVRLittleEndian)
    with listening(desk) as address:
        association = associate(address, build_context(US, DeflatedExplicitVRLittleEndian))
        assert send(association, path) == 0x0000
        association.release()


def test_an_association_leaves_its_row_and_its_instances_name_it(
    a_desk: Desk, a_receiver: tuple[str, int], tmp_path: Path
) -> None:
    association = associate(a_receiver, calling="SCANNER")
    assert send(association, written(tmp_path, an_ultrasound())) == 0x0000
    ((identity, ended),) = a_desk.rows("SELECT id, closed_at FROM association")
    assert ended is None
    association.release()
    wait_for(lambda: a_desk.rows("SELECT 1 FROM association WHERE closed_at IS NOT NULL"))
    assert a_desk.rows("SELECT association_id, source FROM instance") == [
        (identity, "SCANNER@127.0.0.1")
    ]
    events = a_desk.rows("SELECT event, subject FROM ledger_association ORDER BY id")
    assert events == [("opened", identity), ("closed", identity)]


def test_an_aborted_association_is_recorded_as_aborted(
    a_desk: Desk, a_receiver: tuple[str, int]
) -> None:
    associate(a_receiver).abort()
    wait_for(lambda: len(a_desk.rows("SELECT 1 FROM ledger_association")) == 2)
    assert a_desk.rows("SELECT event FROM ledger_association ORDER BY id")[1] == ("aborted",)


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


def test_a_full_disk_answers_out_of_resources(
    a_desk_with: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = a_desk_with(minimum_free_mib=1 << 40)
    with listening(desk) as address:
        association = associate(address)
        assert send(association, written(tmp_path, an_ultrasound())) == 0xA700
        association.release()
    assert desk.standings() == []
    assert desk.spooled() == []


def test_a_data_set_that_is_another_instance_is_a_mismatch(
    a_desk: Desk, a_receiver: tuple[str, int]
) -> None:
    association = associate(a_receiver)
    dataset = announced_as(an_ultrasound(), "1.2.3.99")
    answer = association.send_c_store(dataset)
    assert answer.Status == 0xA900
    assert "SOPInstanceUID" in answer.ErrorComment
    association.release()
    assert a_desk.events() == ["refused"]


def announced_as(dataset: Dataset, uid: str) -> Dataset:
    """Return a data set that pynetdicom announces under another UID than it holds."""

    class Liar(Dataset):
        @property
        def SOPInstanceUID(self) -> str:  # noqa: N802 - DICOM's keyword
            return uid

    liar = Liar(dataset)
    liar.file_meta = dcmread_meta(dataset)
    return liar


def dcmread_meta(dataset: Dataset) -> Any:
    """Return the File Meta Information that the data set gets when written."""
    return dcmread(io.BytesIO(encoded(dataset))).file_meta


def test_a_broken_off_transfer_leaves_no_file_and_no_row(
    a_desk: Desk, a_receiver: tuple[str, int]
) -> None:
    with socket.create_connection(a_receiver) as connection:
        connection.sendall(an_associate_request())
        connection.settimeout(5)
        connection.recv(4096)
        connection.sendall(a_store_command("1.2.3.4.5") + a_fragment(bytes(5000), last=False))
        wait_for(a_desk.spooled)
    wait_for(lambda: not a_desk.spooled())
    assert a_desk.standings() == []


def a_store_command(uid: str) -> bytes:
    """Return the P-DATA-TF of a C-STORE-RQ on context 3 (PS3.7 section 9.3.1)."""

    def element(number: int, value: bytes) -> bytes:
        padded = value + b"\0" * (len(value) % 2)
        return struct.pack("<HHL", 0, number, len(padded)) + padded

    body = element(0x0002, US.encode()) + element(0x0100, struct.pack("<H", 1))
    body += element(0x0110, struct.pack("<H", 7)) + element(0x0700, struct.pack("<H", 0))
    body += element(0x0800, struct.pack("<H", 1)) + element(0x1000, uid.encode())
    command = element(0x0000, struct.pack("<L", len(body))) + body
    return a_pdv(command, 0x03)


def a_fragment(data: bytes, *, last: bool) -> bytes:
    """Return the P-DATA-TF of a piece of a data set on context 3."""
    return a_pdv(data, 0x02 if last else 0x00)


def a_pdv(data: bytes, control: int) -> bytes:
    pdv = struct.pack(">LBB", len(data) + 2, 3, control) + data
    return struct.pack(">BxL", 4, len(pdv)) + pdv


@pytest.mark.parametrize("uid", ["../../../tmp/evil", "/etc/passwd", "1.2\0/x"])
def test_a_uid_that_is_a_path_writes_nothing_anywhere(
    a_desk: Desk, a_receiver: tuple[str, int], uid: str
) -> None:
    data = encoded(an_ultrasound())
    body = data[132 + 12 + struct.unpack("<L", data[140:144])[0] :]
    with socket.create_connection(a_receiver) as connection:
        connection.sendall(an_associate_request())
        connection.settimeout(5)
        connection.recv(4096)
        connection.sendall(a_store_command(uid) + a_fragment(body, last=True))
        answer = connection.recv(4096)
    assert answer[:1] == b"\x07" or struct.pack("<H", 0xA900) in answer  # A-ABORT, or a refusal
    wait_for(lambda: not a_desk.spooled())
    assert a_desk.standings() == []


@pytest.mark.parametrize(
    "attack",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 8,
        struct.pack(">BxL", 1, 1 << 30) + bytes(1000),
        struct.pack(">BxL", 4, 0xFFFFFFFF),
        an_associate_request()[:50],
    ],
    ids=["http", "noise", "a 1 GB header", "a 4 GB header", "half a request"],
)
def test_a_hostile_peer_is_dropped_and_the_next_sender_served(
    a_desk: Desk, tmp_path: Path, attack: bytes
) -> None:
    with listening(a_desk, pdu_deadline_s=1.0) as address:
        with socket.create_connection(address) as connection:
            connection.sendall(attack)
            assert closed_within(connection, 6)
        association = associate(address)
        assert send(association, written(tmp_path, an_ultrasound())) == 0x0000
        association.release()


def test_a_sender_of_single_bytes_is_dropped_at_the_deadline(a_desk: Desk) -> None:
    with listening(a_desk, pdu_deadline_s=1.0) as address:
        started = time.monotonic()
        with socket.create_connection(address) as connection:
            try:
                for byte in an_associate_request():
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                pass
            assert closed_within(connection, 6)
        assert time.monotonic() - started < 5


def test_command_sets_without_end_are_aborted(a_receiver: tuple[str, int]) -> None:
    with socket.create_connection(a_receiver) as connection:
        connection.sendall(an_associate_request())
        connection.settimeout(5)
        connection.recv(4096)
        try:
            for _ in range(40):
                connection.sendall(a_pdv(bytes(10_000), 0x01))
        except OSError:
            return
        assert closed_within(connection, 5)


def test_a_restart_closes_what_a_killed_receiver_left(a_desk: Desk) -> None:
    with a_desk.engine.begin() as connection:
        for identity, receiver in (("dead", "receiver"), ("alive", "another")):
            values = {"id": identity, "calling_ae": "A", "address": "x", "receiver": receiver}
            connection.execute(insert(tables.Association).values(opened_at=utc_now(), **values))
    for name in ("receiver", "stow"):
        (a_desk.blobs.spool / name).mkdir()
        (a_desk.blobs.spool / name / "half.part").write_bytes(b"half an image")
    with listening(a_desk):
        assert [path.parent.name for path in a_desk.spooled()] == ["stow"]  # it may be arriving
        ended = a_desk.rows("SELECT id FROM association WHERE closed_at IS NOT NULL")
        assert ended == [("dead",)]


def test_a_stopping_receiver_finishes_what_runs_and_admits_nobody(
    a_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = a_desk.inbox.accept

    def slow(*arguments: Any, **named: Any) -> Any:
        time.sleep(1.0)
        return real(*arguments, **named)

    monkeypatch.setattr(a_desk.inbox, "accept", slow)
    receiver = Receiver(a_desk.settings, a_desk.inbox, a_desk.engine, Trail("receive"))
    address = receiver.start()
    association = associate(address)
    statuses: list[int] = []
    path = written(tmp_path, an_ultrasound())
    sender = threading.Thread(target=lambda: statuses.append(send(association, path)))
    sender.start()
    time.sleep(0.4)
    stopper = threading.Thread(target=receiver.stop)
    stopper.start()
    sender.join(10)
    association.release()
    stopper.join(10)
    assert statuses == [0x0000]
    assert a_desk.standings() == ["current"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 1)


def test_a_port_in_use_is_said_in_one_line(a_desk_with: Callable[..., Desk]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        desk = a_desk_with(port=taken.getsockname()[1])
        receiver = Receiver(desk.settings, desk.inbox, desk.engine, Trail("receive"))
        with pytest.raises(ConfigurationError, match=r"cannot listen on 127\.0\.0\.1"):
            receiver.start()


def wait_for(condition: Callable[[], object], seconds: float = 8) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


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


def test_receiving_loads_no_library_of_the_models() -> None:
    heavy = ["torch", "numba", "radiomics", "highdicom", "SimpleITK", "pandas", "sklearn"]
    program = (
        "import sys, node.receive.scp, node.receive.stow, node.web.app;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
