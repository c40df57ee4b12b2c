"""A C-STORE sender that sends any bytes whatever, for what no library would write."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Self

from pydicom.uid import ExplicitVRLittleEndian

CLASSES = {
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "SR": "1.2.840.10008.5.1.4.1.1.88.33",
}
_NO_DATA_SET = 0x0101  # PS3.7 section E.1
_FRAGMENT = 16 << 10


class AbortedError(Exception):
    """The other side has aborted, or closed the connection."""


class RawSender:
    """One association with a context for each class in one transfer syntax; PS3.8 and PS3.7."""

    def __init__(
        self,
        address: tuple[str, int],
        syntax: str = ExplicitVRLittleEndian,
        calling: str = "RAW",
        timeout_s: float = 60,
    ) -> None:
        self._connection = socket.create_connection(address, timeout_s)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._message = 0
        self._connection.sendall(_request(calling, syntax))
        kind, body = self.receive()
        if kind != 2:
            raise AbortedError(f"no association: PDU {kind} {body[:4].hex()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def store(self, kind: str, uid: str, data_set: bytes | None) -> int:
        """Send one instance; return the status of the answer.

        Raises:
            AbortedError: If there is none.
        """
        self._message = self._message % 0xFFFF + 1
        context = 2 * list(CLASSES).index(kind) + 1
        wanted = _NO_DATA_SET if data_set is None else 0
        self.send(
            a_pdu_with(context, 0x03, a_store_request(CLASSES[kind], uid, self._message, wanted))
        )
        for at in range(0, len(data_set or b""), _FRAGMENT):
            piece = (data_set or b"")[at : at + _FRAGMENT]
            last = at + _FRAGMENT >= len(data_set or b"")
            self.send(a_pdu_with(context, 0x02 if last else 0x00, piece))
        if data_set == b"":
            self.send(a_pdu_with(context, 0x02, b""))
        kind_, body = self.receive()
        if kind_ != 4:
            raise AbortedError(f"PDU {kind_}")
        return status_of(body[6:])

    def release(self) -> None:
        """Say goodbye and wait for the answer."""
        self.send(struct.pack(">BxLL", 5, 4, 0))
        self.receive()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise AbortedError(str(error)) from error

    def receive(self) -> tuple[int, bytes]:
        """Wait for a PDU; return its type and its body."""
        try:
            kind, length = struct.unpack(">BxL", self._exactly(6))
            return kind, self._exactly(length)
        except OSError as error:
            raise AbortedError(str(error)) from error

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            piece = self._connection.recv(count - len(received))
            if not piece:
                raise AbortedError("the connection was closed")
            received += piece
        return received


def _request(calling: str, syntax: str) -> bytes:
    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(body)) + body

    body = struct.pack(">Hxx", 1) + b"CRDL".ljust(16) + calling.encode().ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, uid in enumerate(CLASSES.values()):
        inner = item(0x30, uid.encode()) + item(0x40, syntax.encode())
        body += item(0x20, struct.pack("Bxxx", 2 * number + 1) + inner)
    body += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4.5"))
    return struct.pack(">BxL", 1, len(body)) + body


def a_store_request(sop_class: str, uid: str, message: int, data_set: int = 0) -> bytes:
    """Return the command set of a C-STORE-RQ (PS3.7 section 9.3.1)."""

    def element(number: int, value: bytes) -> bytes:
        padded = value + b"\0" * (len(value) % 2)
        return struct.pack("<HHL", 0, number, len(padded)) + padded

    body = element(0x0002, sop_class.encode()) + element(0x0100, struct.pack("<H", 1))
    body += element(0x0110, struct.pack("<H", message)) + element(0x0700, struct.pack("<H", 0))
    body += element(0x0800, struct.pack("<H", data_set)) + element(0x1000, uid.encode())
    return element(0x0000, struct.pack("<L", len(body))) + body


def a_pdu_with(context: int, control: int, data: bytes) -> bytes:
    """Return a P-DATA-TF with one fragment (PS3.8 section 9.3.5)."""
    pdv = struct.pack(">LBB", len(data) + 2, context, control) + data
    return struct.pack(">BxL", 4, len(pdv)) + pdv


def status_of(command: bytes) -> int:
    """Return the status of an answer.

    Raises:
        AbortedError: If it has none.
    """
    at = 0
    while at + 8 <= len(command):
        group, element, length = struct.unpack_from("<HHL", command, at)
        if (group, element) == (0x0000, 0x0900):
            return int(struct.unpack_from("<H", command, at + 8)[0])
        at += 8 + length
    raise AbortedError("an answer without a status")


def a_request_without_an_id(uid: str, data_set: bytes) -> bytes:
    """Return the PDUs of a C-STORE request that nobody can answer: it lacks (0000,0110)."""
    command = a_store_request(CLASSES["US"], uid, 7, 0)
    number = struct.pack("<HHLH", 0, 0x0110, 2, 7)
    assert number in command
    return a_pdu_with(1, 0x03, command.replace(number, b"")) + a_pdu_with(1, 0x02, data_set)
