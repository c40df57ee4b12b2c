"""The services of the workflow edge as a role serves them: UPS, MPPS and IAN."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from node.service.compose import Foundation

if TYPE_CHECKING:
    from node.jobs.engine import Enqueuer
    from node.receive.services import Service
    from node.worklist.worklist import Worklist


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
    teller = Teller(settings.node.ae_title, known)
    try:
        yield Worklist(foundation.database, foundation.trail, frozenset(known), teller)
    finally:
        teller.close()


@contextmanager
def edge_services(foundation: Foundation, enqueuer: Enqueuer) -> Iterator[tuple[Service, ...]]:
    """What the DICOM port serves beside storage, as far as it is configured."""
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
        yield tuple(services)
