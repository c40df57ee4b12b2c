"""A lean C-STORE sender: images encoded beforehand, sent as fast as the peer takes them.

A sender that encodes while it sends measures itself. Here an image costs a copy of its header and
the system calls that put it on the wire; everything else is prepared.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Self

from node.bench.harness.programs import HarnessError
from node.bench.images import Encoded, Identity, Image

_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"  # PS3.7 section A.2.1
_IMPLEMENTATION = b"2.25.4242"
_MAXIMUM_PDU = 128 << 10
_TIMEOUT_S: Final = 300.0


class LeanSender:
    """One association; a presentation context for each pair of SOP class and transfer syntax."""

    def __init__(
        self, address: tuple[str, int], called_ae: str, kinds: Sequence[tuple[str, str]]
    ) -> None:
        self._contexts = {kind: 2 * index + 1 for index, kind in enumerate(dict.fromkeys(kinds))}
        self._message = 0
        self._prepared: dict[int, bytes] = {}
        self._socket = socket.create_connection(address, _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with ExitStack() as failing:
            failing.callback(self._socket.close)
            self._fragment = self._negotiate(called_ae) - 6  # the PDV's own header
            failing.pop_all()

    def send(self, image: Encoded, instance: str, renaming: Mapping[bytes, bytes]) -> int:
        """Send one image under other UIDs and wait for its answer.

        Args:
            image: What to send.
            instance: Its SOP Instance UID after the renaming.
            renaming: UIDs in the data set, and others just as long.

        Returns:
            The status of the response (PS3.4 section B.2.3).

        Raises:
            HarnessError: If the peer ends the association.
            OSError: If the connection breaks.
        """
        self._message = self._message % 65_535 + 1
        context = self._contexts[image.sop_class_uid, image.transfer_syntax_uid]
        rest_from, rest = self._rest(image, context)
        head = image.data_set[: image.head_bytes]
        for old, new in renaming.items():
            head = head.replace(old, new)
        first = head + image.data_set[image.head_bytes : rest_from]
        command = _command(context, image.sop_class_uid, instance, self._message)
        fragments = self._fragments(context, first, last=not rest)
        self._socket.sendall(command + fragments)
        self._socket.sendall(rest)
        kind, body = self._pdu()
        if kind != 4:
            raise HarnessError(f"the receiver answered with PDU type {kind}")
        return _status(body[6:])

    def _rest(self, image: Encoded, context: int) -> tuple[int, bytes]:
        """Return where the part that never changes begins, and that part in fragments."""
        whole = -(-image.head_bytes // self._fragment) * self._fragment
        if id(image) not in self._prepared:
            self._prepared[id(image)] = self._fragments(context, image.data_set[whole:], last=True)
        return whole, self._prepared[id(image)]

    def _fragments(self, context: int, data: bytes, *, last: bool) -> bytes:
        size = self._fragment
        return b"".join(
            _pdv(context, data[at : at + size], last=last and at + size >= len(data))
            for at in range(0, len(data), size)
        )

    def _negotiate(self, called_ae: str) -> int:
        """Open the association; return how long its PDUs may be."""
        self._socket.sendall(_associate_rq(called_ae, self._contexts))
        kind, body = self._pdu()
        if kind != 2 or any(_results(body)):
            raise HarnessError(f"{called_ae} did not accept the association or a context")
        return min(_peer_maximum(body) or _MAXIMUM_PDU, _MAXIMUM_PDU)

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
    stored: list[str] = field(default_factory=list)
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
        try:
            ready.wait()
        except threading.BrokenBarrierError:
            self.failures.append("an association did not open")
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - start
        if self.failures or len(self.stored) != self.images:
            raise HarnessError(f"{self.called_ae} did not store: {self.failures[:3]}")
        return elapsed

    def _one(self, ready: threading.Barrier, share: Sequence[int]) -> None:
        image = self.image.encoded
        kind = (image.sop_class_uid, image.transfer_syntax_uid)
        try:
            with LeanSender(self.address, self.called_ae, [kind]) as sender:
                ready.wait()
                for number in share:
                    identity = Identity.of(self.run, number)
                    status = sender.send(image, identity.instance, identity.renaming)
                    if status:
                        self.failures.append(f"status {status:04X}")
                        return
                    self.stored.append(identity.instance)
        except (HarnessError, OSError, threading.BrokenBarrierError) as error:
            self.failures.append(str(error) or type(error).__name__)
            ready.abort()


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _associate_rq(called_ae: str, contexts: Mapping[tuple[str, str], int]) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 section 9.3.2)."""
    items = _item(0x10, _APPLICATION_CONTEXT)
    for (sop_class_uid, transfer_syntax_uid), number in contexts.items():
        syntaxes = _item(0x30, sop_class_uid.encode()) + _item(0x40, transfer_syntax_uid.encode())
        items += _item(0x20, struct.pack(">Bxxx", number) + syntaxes)
    user = _item(0x51, struct.pack(">L", _MAXIMUM_PDU)) + _item(0x52, _IMPLEMENTATION)
    items += _item(0x50, user)
    body = struct.pack(">Hxx16s16s32x", 1, called_ae.encode().ljust(16), b"BENCH".ljust(16))
    return struct.pack(">BxL", 1, len(body + items)) + body + items


def _items(body: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        found.append((kind, body[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def _results(body: bytes) -> list[int]:
    """Return the results of the contexts of an A-ASSOCIATE-AC: 0 is acceptance."""
    return [value[2] for kind, value in _items(body[68:]) if kind == 0x21]


def _peer_maximum(body: bytes) -> int:
    """Return the longest PDU that the peer takes (PS3.8 section D.1), 0 for any."""
    user = dict(_items(body[68:]))[0x50]
    return int.from_bytes(dict(_items(user))[0x51])


def _pdv(context: int, data: bytes, *, last: bool, command: bool = False) -> bytes:
    """Return a P-DATA-TF with one fragment (PS3.8 sections 9.3.5 and E.2)."""
    header = struct.pack(">LBB", len(data) + 2, context, last << 1 | command)
    return struct.pack(">BxL", 4, len(data) + 6) + header + data


def _command(context: int, sop_class_uid: str, sop_instance_uid: str, message: int) -> bytes:
    """Return the P-DATA-TF of a C-STORE-RQ (PS3.7 section 9.3.1.1)."""

    def element(number: int, value: bytes) -> bytes:
        padded = value + b"\0" * (len(value) % 2)
        return struct.pack("<HHL", 0, number, len(padded)) + padded

    body = element(0x0002, sop_class_uid.encode()) + element(0x0100, struct.pack("<H", 1))
    body += element(0x0110, struct.pack("<H", message)) + element(0x0700, struct.pack("<H", 0))
    body += element(0x0800, struct.pack("<H", 1)) + element(0x1000, sop_instance_uid.encode())
    return _pdv(context, element(0, struct.pack("<L", len(body))) + body, last=True, command=True)


def _status(command: bytes) -> int:
    """Return Status (0000,0900) of an encoded command set."""
    at = 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHL", command, at)
        if number == 0x0900:
            return int.from_bytes(command[at + 8 : at + 8 + length], "little")
        at += 8 + length
    raise HarnessError("the answer has no status")
