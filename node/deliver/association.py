"""Opening an association with an archive, or saying in one line why there is none."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from node.config import DestinationSettings, Settings, SourceSettings, TlsSettings
from node.deliver.reactor import pause_properly
from node.deliver.tls import client_context
from node.errors import DeliveryError

_MAXIMUM_PDU = 128 * 1024  # bytes that we accept in one PDU

Handlers = Sequence[tuple[Any, Callable[..., Any]]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a peer, in seconds.

    Attributes:
        connect_s: For TCP (and TLS) to connect.
        acse_s: For the answer to an association or release request.
        dimse_s: For the answer to a message, or over HTTP for the next bytes.
        idle_s: With nothing on the association at all.
        commitment_s: For a storage commitment result on the association that asked for it.
    """

    connect_s: float = 10
    acse_s: float = 30
    dimse_s: float = 60
    idle_s: float = 120
    commitment_s: float = 5

    def __post_init__(self) -> None:
        if min(getattr(self, name) for name in self.__slots__) <= 0:
            raise ValueError("every timeout is longer than zero seconds")


@dataclass(frozen=True, slots=True)
class Peer:
    """A DICOM peer as it is reached from here."""

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae: str
    tls: TlsSettings = field(default_factory=TlsSettings)
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        for title in (self.ae_title, self.calling_ae):
            # PS3.5 section 6.2, VR AE
            if not 1 <= len(title.strip()) <= 16 or not title.isascii() or "\\" in title:
                raise DeliveryError(f"{title!r} is no AE title: 1 to 16 ASCII characters")

    @classmethod
    def of(
        cls,
        destination: DestinationSettings | SourceSettings,
        settings: Settings,
        timeouts: Timeouts,
    ) -> Peer:
        """Return the peer that a destination or source of the configuration is."""
        return cls(
            destination.name,
            destination.ae_title,
            destination.host,
            destination.port,
            settings.node.ae_title,
            settings.tls,
            timeouts,
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.ae_title}@{self.host}:{self.port})"


class NothingAcceptedError(DeliveryError):
    """The peer answers, but accepts none of the SOP classes that it was asked for."""


@contextmanager
def associated(
    peer: Peer, contexts: Sequence[PresentationContext], handlers: Handlers = ()
) -> Iterator[Association]:
    """An open association; it is released, or aborted when the body fails.

    The arguments and errors are those of `open_association`.
    """
    association = open_association(peer, contexts, handlers)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def open_association(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    handlers: Handlers = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Association:
    """Open an association that the caller releases or aborts.

    Args:
        peer: Whom to call.
        contexts: At most 128 presentation contexts (PS3.8 section 9.3.2.2).
        handlers: pynetdicom event handlers, for what the peer may ask of us.
        roles: The SOP classes for which we take the role of SCP (PS3.7 section D.3.3.4).

    Raises:
        NothingAcceptedError: If the peer accepts no context.
        DeliveryError: If it is unreachable, rejects or aborts.
    """
    entity = AE(peer.calling_ae)
    entity.connection_timeout = peer.timeouts.connect_s
    entity.acse_timeout = peer.timeouts.acse_s
    entity.dimse_timeout = peer.timeouts.dimse_s
    entity.network_timeout = peer.timeouts.idle_s
    context = client_context(peer.tls)
    connected: list[bool] = []
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.ae_title,
            max_pdu=_MAXIMUM_PDU,
            tls_args=None if context is None else (context, peer.host),
            ext_neg=list(roles),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _on_connection, [connected]),
                (evt.EVT_PDU_SENT, _on_pdu_sent),
                *handlers,
            ],
        )
    except OSError as error:  # the host name does not resolve
        raise DeliveryError(f"{peer} cannot be reached: {error}") from error
    if association.is_established:
        pause_properly(association)
        return association
    if association.rejected_contexts and not association.accepted_contexts:
        raise NothingAcceptedError(f"{peer} accepts none of the proposed SOP classes")
    reason = _why_there_is_none(association, connected=bool(connected), secure=context is not None)
    raise DeliveryError(f"{peer} {reason}")


def _on_connection(event: evt.Event, connected: list[bool]) -> None:
    connected.append(True)
    # A message is two writes, command and data set: with Nagle's algorithm the second one waits
    # for the delayed acknowledgement of the first, 40 ms an object.
    _set_option(event, socket.TCP_NODELAY)


def _on_pdu_sent(event: evt.Event) -> None:
    # The same on the way back: a peer that uses Nagle's algorithm waits for our acknowledgement
    # in the middle of its answer. Linux forgets this option, so it is set before each answer.
    if sys.platform == "linux":
        _set_option(event, socket.TCP_QUICKACK)


def _set_option(event: evt.Event, option: int) -> None:
    transport = event.assoc.dul.socket
    if transport is None or transport.socket is None:
        return
    with suppress(OSError):  # the connection has just gone; whoever reads from it will say so
        transport.socket.setsockopt(socket.IPPROTO_TCP, option, 1)


def _why_there_is_none(association: Association, *, connected: bool, secure: bool) -> str:
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = "no reason given" if answer is None else answer.reason_str
        return f"rejected the association: {reason}"
    if not connected:
        return "cannot be reached: no connection" + (" by TLS" if secure else "")
    return "aborted the association request or did not answer it"
