"""Senders for tests: pynetdicom, and raw PDUs for what no library sends."""

from __future__ import annotations

import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
)
from pynetdicom import AE, Association, build_context
from pynetdicom.presentation import PresentationContext

from tests.receive_fixtures import (
    US,
)


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


def send(association: Association, path: Path) -> int:
    """Send a file; return the status of the answer."""
    answer = association.send_c_store(dcmread(path))
    return int(answer.Status) if answer else -1


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


def wait_for(condition: Callable[[], object], seconds: float = 8) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
