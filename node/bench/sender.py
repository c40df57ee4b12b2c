"""A lean C-STORE sender: images encoded beforehand, sent as fast as the peer takes them.

A sender that encodes while it sends measures itself. Here an image costs a copy of its header and
the system calls that put it on the wire; everything else is prepared.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Self

from node.bench.harness.programs import HarnessError
from node.bench.images import TRANSFER_SYNTAX, Identity, Image

_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"  # PS3.7 section A.2.1
_IMPLEMENTATION = b"2.25.4242"
_CONTEXT_ID = 1
_MAXIMUM_PDU = 128 << 10
_TIMEOUT_S: Final = 300.0
_NO_DATA_SET = 0x0101


@dataclass(frozen=True, slots=True)
class Answered:
    """One image that was sent.

    Attributes:
        status: Of the C-STORE response (PS3.4 section B.2.3).
        seconds: From the first byte of the request to the response.
    """

    identity: Identity
    status: int
    seconds: float


class LeanSender:
    """One association for one kind of image."""

    def __init__(self, address: tuple[str, int], called_ae: str, image: Image) -> None:
        self._image = image
        self._socket = socket.create_connection(address, _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._message = 0
        with ExitStack() as failing:
            failing.callback(self._socket.close)
            fragment = self._negotiate(called_ae) - 6  # the PDV's own header
            failing.pop_all()
        # The first fragment carries every UID and is made anew for each image.
        self._first = image.data_set[:fragment]
        self._rest = b"".join(
            _pdv(image.data_set[at : at + fragment], last=at + fragment >= len(image.data_set))
            for at in range(fragment, len(image.data_set), fragment)
        )

    def _negotiate(self, called_ae: str) -> int:
        """Open the association; return how long its PDUs may be."""
        self._socket.sendall(_associate_rq(called_ae, self._image.sop_class_uid))
        kind, body = self._pdu()
        if kind != 2 or _accepted(body) != 0:
            raise HarnessError(f"{called_ae} did not accept the association or its context")
        longest = min(_peer_maximum(body) or _MAXIMUM_PDU, _MAXIMUM_PDU)
        if self._image.head_bytes > longest - 6:
            raise HarnessError(f"{called_ae} takes PDUs that are too small to measure with")
        return longest

    def send(self, identity: Identity) -> Answered:
        """Send one image and wait for its answer.

        Raises:
            HarnessError: If the peer ends the association.
            OSError: If the connection breaks.
        """
        self._message = self._message % 65_535 + 1
        head = self._image.head_bytes
        first = identity.put_into(self._first[:head]) + self._first[head:]
        start = time.perf_counter()
        command = _command(self._image.sop_class_uid, identity.instance, self._message)
        self._socket.sendall(command + _pdv(first, last=not self._rest))
        self._socket.sendall(self._rest)
        kind, body = self._pdu()
        if kind != 4:
            raise HarnessError(f"the receiver answered with PDU type {kind}")
        return Answered(identity, _status(body[6:]), time.perf_counter() - start)

    def release(self) -> None:
        """End the association in order (PS3.8 section 9.3.6)."""
        self._socket.sendall(struct.pack(">BxLxxxx", 5, 4))
        self._pdu()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.release()
        else:
            self._socket.close()

    def _pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxL", self._exactly(6))
        return kind, self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        received = bytearray()
        while len(received) < length:
            piece = self._socket.recv(length - len(received))
            if not piece:
                raise HarnessError("the receiver closed the connection")
            received += piece
        return bytes(received)


@dataclass
class Burst:
    """So many images over so many associations at once.

    Attributes:
        run: Names the images, never the same twice for one receiver.
    """

    address: tuple[str, int]
    called_ae: str
    image: Image
    associations: int
    images: int
    run: int
    answered: list[Answered] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def send(self) -> float:
        """Send all; return the seconds from the first byte to the last answer.

        Raises:
            HarnessError: If an image was not stored: then nothing was measured.
        """
        ready = threading.Barrier(self.associations + 1)
        shares = [
            range(first, self.images, self.associations) for first in range(self.associations)
        ]
        threads = [threading.Thread(target=self._one, args=(ready, share)) for share in shares]
        for thread in threads:
            thread.start()
        ready.wait()
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - start
        refused = [f"{answer.status:04X}" for answer in self.answered if answer.status]
        if self.failures or refused or len(self.answered) != self.images:
            raise HarnessError(f"{self.called_ae} did not store: {self.failures or refused}")
        return elapsed

    def _one(self, ready: threading.Barrier, share: Sequence[int]) -> None:
        try:
            with LeanSender(self.address, self.called_ae, self.image) as sender:
                ready.wait()
                for number in share:
                    self.answered.append(sender.send(Identity.of(self.run, number)))
        except (HarnessError, OSError, threading.BrokenBarrierError) as error:
            self.failures.append(str(error))
            ready.abort()


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _associate_rq(called_ae: str, sop_class_uid: str) -> bytes:
    """Return an A-ASSOCIATE-RQ with one presentation context (PS3.8 section 9.3.2)."""
    context = struct.pack(">Bxxx", _CONTEXT_ID)
    context += _item(0x30, sop_class_uid.encode()) + _item(0x40, TRANSFER_SYNTAX.encode())
    user = _item(0x51, struct.pack(">L", _MAXIMUM_PDU)) + _item(0x52, _IMPLEMENTATION)
    items = _item(0x10, _APPLICATION_CONTEXT) + _item(0x20, context) + _item(0x50, user)
    body = struct.pack(">Hxx16s16s32x", 1, called_ae.encode().ljust(16), b"BENCH".ljust(16))
    return struct.pack(">BxL", 1, len(body + items)) + body + items


def _items(body: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        found[kind] = body[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _accepted(body: bytes) -> int:
    """Return the result of the one context of an A-ASSOCIATE-AC: 0 is acceptance."""
    return _items(body[68:])[0x21][2]


def _peer_maximum(body: bytes) -> int:
    """Return the longest PDU that the peer takes (PS3.8 section D.1), 0 for any."""
    return int.from_bytes(_items(_items(body[68:])[0x50])[0x51])


def _pdv(data: bytes, *, last: bool, command: bool = False) -> bytes:
    """Return a P-DATA-TF with one fragment (PS3.8 sections 9.3.5 and E.2)."""
    header = struct.pack(">LBB", len(data) + 2, _CONTEXT_ID, last << 1 | command)
    return struct.pack(">BxL", 4, len(data) + 6) + header + data


def _command(sop_class_uid: str, sop_instance_uid: str, message: int) -> bytes:
    """Return the P-DATA-TF of a C-STORE-RQ (PS3.7 section 9.3.1.1)."""

    def element(number: int, value: bytes) -> bytes:
        padded = value + b"\0" * (len(value) % 2)
        return struct.pack("<HHL", 0, number, len(padded)) + padded

    body = element(0x0002, sop_class_uid.encode()) + element(0x0100, struct.pack("<H", 1))
    body += element(0x0110, struct.pack("<H", message)) + element(0x0700, struct.pack("<H", 0))
    body += element(0x0800, struct.pack("<H", 1)) + element(0x1000, sop_instance_uid.encode())
    return _pdv(element(0, struct.pack("<L", len(body))) + body, last=True, command=True)


def _status(command: bytes) -> int:
    """Return Status (0000,0900) of an encoded command set."""
    at = 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHL", command, at)
        if number == 0x0900:
            return int.from_bytes(command[at + 8 : at + 8 + length], "little")
        at += 8 + length
    raise HarnessError("the answer has no status")
