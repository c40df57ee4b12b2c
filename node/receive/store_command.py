"""C-STORE on the wire: the request's command set read, the response's written (PS3.7 9.3.1).

A modality sends one request an image, and a general decoder takes longer over it than the disk
over the image. What is odd is left to the general decoder, which knows how to object.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from node.receive.attributes import is_uid

MAXIMUM_PDV_HEADER: Final = 6  # length, context, message control header (PS3.8 annex E)
_ELEMENT = struct.Struct("<HHL")  # implicit VR little endian, always (PS3.7 section 6.3.1)
_US = struct.Struct("<H")
_PDU_AND_PDV = struct.Struct(">BxLLBB")  # P-DATA-TF with one fragment (PS3.8 section 9.3.5)
_P_DATA_TF = 0x04
_COMMAND, _LAST = 0x01, 0x02  # message control header, PS3.8 section E.2

_STORE_RQ, _STORE_RSP = 0x0001, 0x8001  # Command Field, PS3.7 table E.1-1
_NO_DATA_SET = 0x0101
_GROUP_LENGTH, _SOP_CLASS, _FIELD, _MESSAGE, _RESPONDED_TO = 0x0000, 0x0002, 0x0100, 0x0110, 0x0120
_PRIORITY, _DATA_SET, _STATUS, _COMMENT, _INSTANCE = 0x0700, 0x0800, 0x0900, 0x0902, 0x1000
_UIDS = (_SOP_CLASS, _INSTANCE)
_REQUIRED = {_SOP_CLASS, _FIELD, _MESSAGE, _PRIORITY, _DATA_SET, _INSTANCE}


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What a C-STORE request says before its data set.

    Attributes:
        context_id: Of the presentation context that it came over.
        message_id: What the response has to name.
    """

    context_id: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def read_request(context_id: int, command: bytes) -> StoreRequest | None:
    """Read the command set of a C-STORE request.

    Returns:
        None if it is another request, or not one that can be read without doubt.
    """
    found: dict[int, bytes] = {}
    at, last = 0, -1
    while at < len(command):
        if at + _ELEMENT.size > len(command):
            return None
        group, element, length = _ELEMENT.unpack_from(command, at)
        at += _ELEMENT.size
        value = command[at : at + length]
        at += length
        if group or element <= last or len(value) < length:
            return None
        found[element] = value
        last = element
    if not found.keys() >= _REQUIRED:
        return None
    numbers = [found[number] for number in (_FIELD, _MESSAGE, _PRIORITY, _DATA_SET)]
    uids = [found[number].rstrip(b"\0 ").decode("ascii", "replace") for number in _UIDS]
    if any(len(number) != _US.size for number in numbers):
        return None
    field, message_id, _, data_set = (_US.unpack(number)[0] for number in numbers)
    if field != _STORE_RQ or data_set == _NO_DATA_SET or not all(map(is_uid, uids)):
        return None
    return StoreRequest(context_id, message_id, *uids)


def response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """Write the command set of the response.

    Args:
        request: What it answers.
        status: See `statuses`.
        comment: Error Comment, ASCII, up to 64 characters (PS3.7 section C.4); "" for none.
    """
    body = (
        _element(_SOP_CLASS, request.sop_class_uid.encode(), b"\0")
        + _element(_FIELD, _US.pack(_STORE_RSP))
        + _element(_RESPONDED_TO, _US.pack(request.message_id))
        + _element(_DATA_SET, _US.pack(_NO_DATA_SET))
        + _element(_STATUS, _US.pack(status))
    )
    if comment:
        body += _element(_COMMENT, comment.encode("ascii"), b" ")
    body += _element(_INSTANCE, request.sop_instance_uid.encode(), b"\0")
    return _element(_GROUP_LENGTH, struct.pack("<L", len(body))) + body


def as_pdus(context_id: int, command: bytes, maximum_pdu: int) -> bytes:
    """Return a command set as P-DATA-TF PDUs, none longer than the peer takes.

    Args:
        context_id: Of the presentation context.
        command: The command set.
        maximum_pdu: What the peer has announced (PS3.8 section D.1); 0 for any length.
    """
    most = maximum_pdu - MAXIMUM_PDV_HEADER if maximum_pdu > MAXIMUM_PDV_HEADER else len(command)
    pdus = b""
    for start in range(0, len(command), most):
        piece = command[start : start + most]
        control = _COMMAND | (_LAST if start + most >= len(command) else 0)
        pdus += (
            _PDU_AND_PDV.pack(
                _P_DATA_TF, len(piece) + MAXIMUM_PDV_HEADER, len(piece) + 2, context_id, control
            )
            + piece
        )
    return pdus


def _element(number: int, value: bytes, padding: bytes = b"") -> bytes:
    padded = value + padding if len(value) % 2 else value
    return _ELEMENT.pack(0, number, len(padded)) + padded
