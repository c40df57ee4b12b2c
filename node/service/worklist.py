"""The services of the workflow edge as a role serves them: UPS, MPPS and IAN."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from node.config import Settings
from node.service.compose import Foundation

if TYPE_CHECKING:
    from pynetdicom.association import Association

    from node.jobs.engine import Enqueuer
    from node.receive.services import Listener, Service
    from node.worklist.worklist import Worklist


def dialler(
    settings: Settings, known: Mapping[str, tuple[str, int]]
) -> Callable[[str], Association]:
    """Return what opens an association with a subscriber, to report events as the SCP."""
    from pynetdicom import build_role  # noqa: PLC0415 - only where events are sent
    from pynetdicom.presentation import build_context  # noqa: PLC0415

    from node.deliver.association import Peer, Timeouts, open_association  # noqa: PLC0415
    from node.worklist.teller import EVENT  # noqa: PLC0415

    def dial(ae_title: str) -> Association:
        host, port = known[ae_title]
        calling_ae, waits = settings.node.ae_title, Timeouts(dimse_s=10)
        peer = Peer("subscriber", ae_title, host, port, calling_ae, settings.tls, waits)
        # Whoever reports is the SCP, and opens the association (PS3.4 section CC.2.4.3).
        roles = [build_role(EVENT, scu_role=False, scp_role=True)]
        return open_association(peer, [build_context(EVENT)], roles=roles)

    return dial


@contextmanager
def worklist(foundation: Foundation) -> Iterator[Worklist | None]:
    """The node's worklist, None where it keeps none; events are sent while this is open."""
    settings = foundation.settings
    if not settings.worklist.serve:
        yield None
        return
    from node.worklist.teller import Teller, addresses  # noqa: PLC0415 - only where it is served
    from node.worklist.worklist import Worklist  # noqa: PLC0415

    known = addresses(settings.worklist.subscribers)
    teller = Teller(dialler(settings, known))
    try:
        yield Worklist(foundation.database, foundation.trail, frozenset(known), teller)
    finally:
        teller.close()


@contextmanager
def edge_services(
    foundation: Foundation, enqueuer: Enqueuer
) -> Iterator[tuple[tuple[Service, ...], tuple[Listener, ...]]]:
    """What the DICOM port serves and hears beside storage, as far as it is configured."""
    from node.jobs.completion import told_complete  # noqa: PLC0415 - the receiver only

    wishes = foundation.settings.worklist

    def complete(
        connection: Connection, study: str, expected: Collection[str], source: str
    ) -> None:
        told_complete(connection, foundation.trail, enqueuer, study, expected, source)

    services: list[Service] = []
    with worklist(foundation) as managed:
        if managed is not None:
            from node.worklist.scp import UpsService  # noqa: PLC0415

            services.append(UpsService(managed))
        if wishes.mpps:
            from node.worklist.performed import MppsService  # noqa: PLC0415

            services.append(MppsService(foundation.database, foundation.trail, complete))
        if wishes.ian:
            from node.worklist.availability import IanService  # noqa: PLC0415

            services.append(IanService(foundation.database, complete))
        if wishes.performs:
            from node.worklist.hearing import UpsListener  # noqa: PLC0415

            listeners: tuple[Listener, ...] = (UpsListener(foundation.database, foundation.trail),)
        else:
            listeners = ()
        yield tuple(services), listeners
