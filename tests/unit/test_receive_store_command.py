"""The command sets of C-STORE, and the beginning of a file, as pynetdicom and pydicom have them."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filewriter import write_file_meta_info
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import create_file_meta, encode
from pynetdicom.pdu import P_DATA_TF

from node.receive.part10 import beginning
from node.receive.store_command import StoreRequest, as_pdus, read_request, response

US = "1.2.840.10008.5.1.4.1.1.6.1"
UIDS = st.from_regex(r"[1-9][0-9]{0,9}(\.(0|[1-9][0-9]{0,8})){1,5}", fullmatch=True)


def a_command(message: int = 7, uid: str = "1.2.3", move: str | None = None) -> bytes:
    primitive = C_STORE()
    primitive.MessageID = message
    primitive.AffectedSOPClassUID = US
    primitive.AffectedSOPInstanceUID = uid
    primitive.Priority = 1
    primitive.DataSet = BytesIO(b"\x08\x00")
    if move:
        primitive.MoveOriginatorApplicationEntityTitle = move
        primitive.MoveOriginatorMessageID = 3
    rq = C_STORE_RQ()
    rq.primitive_to_message(primitive)
    command = encode(rq.command_set, is_implicit_vr=True, is_little_endian=True)
    assert command is not None
    return command


@given(st.integers(0, 65535), UIDS, st.sampled_from([None, "MOVER"]))
def test_a_request_reads_as_it_was_written(message: int, uid: str, move: str | None) -> None:
    found = read_request(5, a_command(message, uid, move))
    assert found == StoreRequest(5, message, US, uid)


def test_another_request_is_left_to_others() -> None:
    primitive = C_ECHO()
    primitive.MessageID = 1
    echo = C_ECHO_RQ()
    echo.primitive_to_message(primitive)
    command = encode(echo.command_set, is_implicit_vr=True, is_little_endian=True)
    assert command is not None
    assert read_request(1, command) is None


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("no data set", lambda c: c.replace(_us(0x0800, 1), _us(0x0800, 0x0101))),
        ("no message id", lambda c: c.replace(_us(0x0110, 7), b"")),
        ("another command", lambda c: c.replace(_us(0x0100, 1), _us(0x0100, 0x0020))),
        ("a path for a UID", lambda c: c.replace(b"1.2.3", b"../..")),
        ("cut within a value", lambda c: c[:-1]),
        ("cut within a header", lambda c: c + b"\0\0\0"),
        ("an element twice", lambda c: c + _us(0x0110, 8)),
        ("another group", lambda c: c + struct.pack("<HHLH", 8, 0x2000, 2, 0)),
    ],
)
def test_an_odd_request_is_left_to_the_general_decoder(what: str, change: object) -> None:
    command = a_command()
    changed = change(command)  # type: ignore[operator]
    assert changed != command, what
    assert read_request(1, changed) is None


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(command: bytes) -> None:
    found = read_request(1, command)
    assert found is None or found.sop_class_uid


@given(UIDS, st.sampled_from([0, 0xA700, 0xC000]), st.sampled_from(["", "odd", "even"]))
@pytest.mark.parametrize("maximum", [0, 16, 64, 16384])
def test_pynetdicom_reads_the_response(maximum: int, uid: str, status: int, comment: str) -> None:
    command = response(StoreRequest(3, 9, US, uid), status, comment)
    pdus = as_pdus(3, command, maximum)
    message = DIMSEMessage()
    done = False
    while pdus:
        length = 6 + int.from_bytes(pdus[2:6])
        assert not maximum or length - 6 <= maximum
        pdu = P_DATA_TF()
        pdu.decode(pdus[:length])
        pdus = pdus[length:]
        assert not done
        done = message.decode_msg(pdu.to_primitive())
    assert done
    assert isinstance(message, C_STORE_RSP)
    answer = message.message_to_primitive()
    assert answer.Status == status
    assert answer.MessageIDBeingRespondedTo == 9
    assert answer.AffectedSOPInstanceUID == uid
    assert answer.AffectedSOPClassUID == US
    assert message.command_set.get("ErrorComment", "") == comment
    assert message.command_set.CommandGroupLength == len(command) - 12


@given(UIDS, UIDS, UIDS)
def test_a_file_begins_as_pydicom_writes_it(sop_class: str, uid: str, syntax: str) -> None:
    meta = create_file_meta(sop_class_uid=sop_class, sop_instance_uid=uid, transfer_syntax=syntax)
    buffer = BytesIO()
    write_file_meta_info(buffer, meta)
    assert beginning(sop_class, uid, syntax) == bytes(128) + b"DICM" + buffer.getvalue()


def _us(element: int, value: int) -> bytes:
    return struct.pack("<HHLH", 0, element, 2, value)
