"""Receive: DICOM in by C-STORE."""

from __future__ import annotations

import os
import threading
from contextlib import closing

from node.jobs.committing import Committer
from node.jobs.dbos_engine import DbosEnqueuer
from node.jobs.pledging import PledgeBook
from node.receive.scp import Receiver
from node.service.commitments import commitment_taker
from node.service.compose import Foundation
from node.service.executors import lanes
from node.service.pledging import commitment_requests
from node.service.roles.intake import an_inbox
from node.service.roles.ready import announce
from node.service.worklist import edge_services


def run(foundation: Foundation, stop: threading.Event) -> None:
    """Listen for associations until told to stop, then finish what runs."""
    rooms = (foundation.database, foundation.trail)
    settings = foundation.settings
    engine = DbosEnqueuer(foundation.database, lanes(settings))
    with an_inbox(foundation) as inbox, closing(engine) as enqueuer:
        book = PledgeBook(*rooms, enqueuer)
        taker = commitment_taker(settings, Committer(*rooms, enqueuer), book)
        requests = commitment_requests(settings, book)
        with edge_services(foundation, enqueuer) as (services, listeners):
            receiver = Receiver(
                settings,
                inbox,
                *rooms,
                name=_receiver_name(),
                commitments=taker,
                requests=requests,
                services=services,
                listeners=listeners,
            )
            host, port = receiver.start()
            announce(dicom=f"{host}:{port}")
            stop.wait()
            receiver.stop()


def _receiver_name() -> str:
    """Name this receiver among those of its node: what it leaves when it is killed is its own."""
    number = os.environ.get("CRDL_SUPERVISED", "1")
    return "receiver" if number == "1" else f"receiver-{number}"
