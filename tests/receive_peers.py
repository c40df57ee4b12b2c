"""Senders for tests: pynetdicom, and raw PDUs for what no library sends."""

from __future__ import annotations

import ssl
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
)
from pynetdicom import AE, Association, build_context
from pynetdicom.presentation import PresentationContext

from tests.raw_sender import a_pdu_with, a_store_request
from tests.receive_fixtures import US


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
    return a_pdv(a_store_request(US, uid, message=7, data_set=1), 0x03)


def a_fragment(data: bytes, *, last: bool) -> bytes:
    """Return the P-DATA-TF of a piece of a data set on context 3."""
    return a_pdv(data, 0x02 if last else 0x00)


def a_pdv(data: bytes, control: int) -> bytes:
    """Return a P-DATA-TF with one fragment on context 3."""
    return a_pdu_with(3, control, data)
