"""However a sender cuts its messages into fragments and PDUs, the instance arrives as it was."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from tests.raw_sender import (
    CLASSES,
    AbortedError,
    RawSender,
    a_pdu_with,
    a_store_request,
    status_of,
)
from tests.receive_fixtures import Desk, an_ultrasound, listening
from tests.waiting import wait_for

Framing = Callable[[bytes, bytes], list[bytes]]
CONTEXT = 1  # of US
A_ABORT = 7  # PDU type, PS3.8 section 9.3.8


def in_one_pdu(command: bytes, data: bytes) -> list[bytes]:
    pdvs = _bare(0x03, command) + _bare(0x00, data[:100]) + _bare(0x02, data[100:])
    return [struct.pack(">BxL", 4, len(pdvs)) + pdvs]


def a_byte_at_a_time(command: bytes, data: bytes) -> list[bytes]:
    whole = a_pdu_with(CONTEXT, 0x03, command) + a_pdu_with(CONTEXT, 0x02, data)
    return [whole[at : at + 1] for at in range(len(whole))]


def a_command_in_pieces(command: bytes, data: bytes) -> list[bytes]:
    return [
        a_pdu_with(CONTEXT, 0x01, command[:20]),
        a_pdu_with(CONTEXT, 0x03, command[20:]),
        a_pdu_with(CONTEXT, 0x02, data),
    ]


def an_empty_last_fragment(command: bytes, data: bytes) -> list[bytes]:
    return [
        a_pdu_with(CONTEXT, 0x03, command),
        a_pdu_with(CONTEXT, 0x00, data),
        a_pdu_with(CONTEXT, 0x02, b""),
    ]


def with_pauses(command: bytes, data: bytes) -> list[bytes]:
    whole = a_pdu_with(CONTEXT, 0x03, command) + a_pdu_with(CONTEXT, 0x02, data)
    return [whole[:3], b"", whole[3:90], b"", whole[90:]]


def _bare(control: int, data: bytes) -> bytes:
    return struct.pack(">LBB", len(data) + 2, CONTEXT, control) + data


@pytest.mark.parametrize(
    "framing",
    [in_one_pdu, a_byte_at_a_time, a_command_in_pieces, an_empty_last_fragment, with_pauses],
)
def test_every_way_of_cutting_a_message_gives_the_same_file(a_desk: Desk, framing: Framing) -> None:
    with listening(a_desk) as address, RawSender(address) as sender:
        # The first goes through pynetdicom, for its association has only just begun.
        for number in range(3):
            image = an_ultrasound(SOPInstanceUID=f"1.2.3.{number}")
            command = a_store_request(CLASSES["US"], image.SOPInstanceUID, number + 1)
            for piece in framing(command, data_set_of(image)):
                if piece:
                    sender.send(piece)
                else:
                    time.sleep(0.15)
            assert answer(sender) == (number + 1, 0)
            kept = dcmread(the_file(a_desk, image))
            assert kept.PixelData == image.PixelData
            assert kept.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
        sender.release()


def test_requests_that_do_not_wait_are_answered_one_after_the_other(a_desk: Desk) -> None:
    with listening(a_desk) as address, RawSender(address) as sender:
        images = [an_ultrasound(SOPInstanceUID=f"1.2.4.{number}") for number in range(5)]
        for number, image in enumerate(images, 1):
            command = a_store_request(CLASSES["US"], image.SOPInstanceUID, number)
            data = data_set_of(image)
            sender.send(a_pdu_with(CONTEXT, 0x03, command) + a_pdu_with(CONTEXT, 0x02, data))
        answers = {answer(sender) for _ in images}
        sender.release()
    assert answers == {(number, 0) for number in range(1, 6)}


def test_a_request_within_a_data_set_ends_the_association(a_desk: Desk) -> None:
    with listening(a_desk) as address, RawSender(address) as sender:
        image = an_ultrasound()
        data = data_set_of(image)
        assert sender.store("US", image.SOPInstanceUID, data) == 0
        time.sleep(0.1)
        command = a_store_request(CLASSES["US"], "1.2.5", 2)
        sender.send(a_pdu_with(CONTEXT, 0x03, command) + a_pdu_with(CONTEXT, 0x00, data[:50]))
        sender.send(a_pdu_with(CONTEXT, 0x03, a_store_request(CLASSES["US"], "1.2.6", 3)))
        assert sender.receive()[0] == A_ABORT
    wait_for(lambda: not a_desk.spooled())
    assert len(a_desk.rows("SELECT id FROM instance")) == 1


def test_a_request_that_asks_for_memory_without_end_ends_the_association(a_desk: Desk) -> None:
    with listening(a_desk) as address, RawSender(address) as sender:
        image = an_ultrasound()
        assert sender.store("US", image.SOPInstanceUID, data_set_of(image)) == 0
        time.sleep(0.1)
        endless = struct.pack("<HHL", 0, 0x5180, 70_000) + bytes(70_000)
        command = a_store_request(CLASSES["US"], "1.2.7", 2) + endless
        sender.send(a_pdu_with(CONTEXT, 0x03, command))
        assert sender.receive()[0] == A_ABORT
    assert len(a_desk.rows("SELECT id FROM instance")) == 1


def answer(sender: RawSender) -> tuple[int, int]:
    """Return which message is answered, and how."""
    kind, body = sender.receive()
    if kind != 4:
        raise AbortedError(f"PDU {kind}")
    command = body[6:]
    marker = struct.pack("<HHL", 0, 0x0120, 2)
    at = command.index(marker) + len(marker)
    return int(struct.unpack_from("<H", command, at)[0]), status_of(command)


def the_file(desk: Desk, image: Dataset) -> Path:
    rows = dict(desk.rows("SELECT sop_instance_uid, blob_sha256 FROM instance"))
    return desk.blobs.path(rows[image.SOPInstanceUID])


def data_set_of(image: Dataset) -> bytes:
    data = encode(image, is_implicit_vr=False, is_little_endian=True)
    assert data is not None
    return data
