"""Senders that are careless, broken or mean harm: each is answered, and nothing stays."""

from __future__ import annotations

import io
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.receive_fixtures import (
    Desk,
    an_associate_request,
    an_ultrasound,
    closed_within,
    encoded,
    listening,
    written,
)
from tests.receive_peers import (
    a_fragment,
    a_pdv,
    a_store_command,
    associate,
    send,
)
from tests.waiting import wait_for


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
    a_desk_with: Callable[..., Desk], tmp_path: Path, attack: bytes
) -> None:
    with listening(a_desk_with(limits={"pdu_s": 1.0})) as address:
        with socket.create_connection(address) as connection:
            connection.sendall(attack)
            assert closed_within(connection, 20)
        association = associate(address)
        assert send(association, written(tmp_path, an_ultrasound())) == 0x0000
        association.release()


def test_a_sender_of_single_bytes_is_dropped_at_the_deadline(
    a_desk_with: Callable[..., Desk],
) -> None:
    with listening(a_desk_with(limits={"pdu_s": 1.0})) as address:
        started = time.monotonic()
        with socket.create_connection(address) as connection:
            try:
                for byte in an_associate_request():
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                pass
            assert closed_within(connection, 20)
        assert time.monotonic() - started < 9  # all bytes would take ten


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
        assert closed_within(connection, 20)


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


def test_a_disk_that_is_low_declines_and_recovers_by_itself(
    a_desk_with: Callable[..., Desk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = a_desk_with(minimum_free_mib=64)
    file = written(tmp_path, an_ultrasound())
    with listening(desk) as address:
        with monkeypatch.context() as full:
            full.setattr(type(desk.blobs), "free_bytes", lambda _: 63 << 20)
            association = associate(address)
            assert send(association, file) == 0xA700
        wait_for(lambda: send(association, file) == 0x0000)
        association.release()
    assert desk.standings() == ["current"]


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
