"""Who may open an association (PS3.8 section 9.3.4)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.config import NodeSettings, TlsPeerSettings
from node.tls import fingerprint

# dcmtk's tools call this title unless told otherwise; it means "whoever you are".
ANY_SCP: Final = "ANY-SCP"
BLANK_TITLE: Final = "<blank>"  # what `transport` makes of 16 spaces


@dataclass(frozen=True, slots=True)
class Rejection:
    """An A-ASSOCIATE-RJ (PS3.8 section 9.3.4, table 9-21).

    Attributes:
        result: 1 rejected-permanent, 2 rejected-transient.
        source: 1 UL service-user, 3 UL service-provider (presentation).
        diagnostic: Of source 1: 3 calling, 7 called AE title not recognized. Of source 3:
            1 temporary congestion, 2 local limit exceeded.
        reason: For the audit.
    """

    result: int
    source: int
    diagnostic: int
    reason: str

    def encoded(self) -> bytes:
        """Return the PDU."""
        return struct.pack(">BxLxBBB", 0x03, 4, self.result, self.source, self.diagnostic)

    @property
    def kind(self) -> str:
        """The reason without anything that the peer chose."""
        return _KINDS[self.source, self.diagnostic]


_KINDS: Final = {
    (1, 1): "the certificate is not allowed",
    (1, 3): "the calling AE title is not allowed",
    (1, 7): "the called AE title is not ours",
    (3, 1): "too many in a minute",
    (3, 2): "too many at once",
}


def congestion(reason: str) -> Rejection:
    """Tell a peer that asks too often to try again later."""
    return Rejection(2, 3, 1, reason)


def limit_exceeded(reason: str) -> Rejection:
    """Tell a peer that too much is open already."""
    return Rejection(2, 3, 2, reason)


def admit(settings: NodeSettings, calling_ae: str, called_ae: str) -> Rejection | None:
    """Decide about an association request.

    The called AE title must be ours, as administrators expect: a request for another title is a
    sign of a wrong entry somewhere, better found now than after a migration.

    Returns:
        None to admit.
    """
    calling = calling_ae.strip().removeprefix(BLANK_TITLE)
    called = called_ae.strip().removeprefix(BLANK_TITLE)
    if called not in (settings.ae_title.strip(), ANY_SCP):
        return Rejection(1, 1, 7, f"called AE title {called!r} is not ours")
    if not calling:
        if settings.allow_blank_calling_ae:
            return None
        return Rejection(1, 1, 3, "the calling AE title is blank")
    allowed = {title.strip() for title in settings.calling_ae_titles}
    if allowed and calling not in allowed:
        return Rejection(1, 1, 3, f"calling AE title {calling!r} is not allowed")
    return None


def recognise(
    peers: Sequence[TlsPeerSettings], calling_ae: str, certificate: bytes | None
) -> Rejection | None:
    """Decide by the certificate that TLS has verified, where `[tls] peers` lists any.

    Args:
        peers: Of the configuration; empty admits all.
        calling_ae: As the request says.
        certificate: In DER.

    Returns:
        None to admit.
    """
    if not peers:
        return None
    names = _names(certificate, subject=any("=" in peer.certificate for peer in peers))
    known = [peer for peer in peers if peer.certificate in names]
    if not known:
        return Rejection(1, 1, 1, "its certificate is not among tls.peers")
    titles = {peer.ae_title.strip() for peer in known}
    if "" in titles or calling_ae.strip() in titles:
        return None
    return Rejection(1, 1, 3, f"calling AE title {calling_ae!r} is not that of its certificate")


def _names(certificate: bytes | None, *, subject: bool) -> frozenset[str]:
    if certificate is None:
        return frozenset()
    names = {fingerprint(certificate)}
    if subject:
        from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415 - on demand

        names.add(load_der_x509_certificate(certificate).subject.rfc4514_string())
    return frozenset(names)
