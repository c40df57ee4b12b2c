"""The receiver with honest senders: dcmtk and pynetdicom, every class and syntax."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, examples
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
from pynetdicom import build_context
from sqlalchemy import insert

from node.audit import tables
from node.audit.trail import Trail
from node.database import utc_now
from node.errors import ConfigurationError
from node.receive.scp import Receiver
from tests.peers import require, storescu
from tests.receive_fixtures import (
    LABEL_MAP_SEG,
    SEG,
    US,
    US_MULTIFRAME_RETIRED,
    US_RETIRED,
    Desk,
    a_segmentation,
    a_source,
    an_ultrasound,
    derived_from,
    encoded,
    listening,
    written,
)
from tests.receive_peers import (
    associate,
    send,
)
from tests.waiting import PATIENCE_S, wait_for

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


def encapsulated(transfer_syntax: str) -> bytes:
    """Return a US whose pixel data is one fragment that no decoder has to like."""
    dataset = an_ultrasound()
    fragment = b"\xff\xd8fragment\xff\xd9"
    dataset.PixelData = encapsulate([fragment])
    dataset["PixelData"].is_undefined_length = True
    return encoded(dataset, transfer_syntax)


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
    real, begun = a_desk.inbox.accept, threading.Event()

    def slow(*arguments: Any, **named: Any) -> Any:
        begun.set()
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
    assert begun.wait(PATIENCE_S)
    stopper = threading.Thread(target=receiver.stop)
    stopper.start()
    sender.join(PATIENCE_S)
    association.release()
    stopper.join(PATIENCE_S)
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
