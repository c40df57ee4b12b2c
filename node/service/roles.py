"""The roles as processes: each announces itself, works until SIGTERM, drains and ends."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from node.config import Settings
from node.errors import ConfigurationError
from node.service.compose import Foundation, compose, lay_foundation
from node.service.executors import executor_name, holding, lanes
from node.service.supervisor import READY, die_with_parent
from node.tls import ServerTls

if TYPE_CHECKING:
    from node.jobs.engine import Enqueuer, Handler, Queue
    from node.jobs.outcomes import Kept, OutcomeSaid
    from node.receive.inbox import Inbox
    from node.service.performing import Fetch

_DRAIN_S = 30.0
_FETCH_THREADS = 2
_log = logging.getLogger(__name__)


def run(role: str, settings: Settings) -> None:
    """Run one role until SIGTERM or SIGINT."""
    if os.environ.get("CRDL_SUPERVISED"):
        die_with_parent()
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGHUP, _renew_certificates)
    foundation = lay_foundation(settings, role)
    try:
        with _recorded(foundation, role):
            _ROLES[role](foundation, stop)
    finally:
        foundation.close()


def _renew_certificates(number: int, frame: FrameType | None) -> None:
    """Look at the certificates' files: what an administrator expects of SIGHUP."""
    del number, frame
    threading.Thread(target=ServerTls.reload_all, daemon=True).start()


@contextmanager
def _recorded(foundation: Foundation, role: str) -> Iterator[None]:
    """Write start and stop of a process into the ledger (PS3.15 section A.5.3.1)."""

    def note(event: str) -> None:
        with foundation.database.begin() as connection:
            foundation.trail.record(connection, "system", event, role, {"pid": os.getpid()})

    note("started")
    yield
    note("stopped")


def _announce(**served: str) -> None:
    print(" ".join([READY, *(f"{key}={value}" for key, value in served.items())]), flush=True)  # noqa: T201 - the contract


@contextmanager
def _inbox(foundation: Foundation) -> Iterator[Inbox]:
    """The one way in, for the receiver and the web alike."""
    from node.jobs.arriving import arrivals  # noqa: PLC0415
    from node.jobs.dbos_engine import DbosEnqueuer  # noqa: PLC0415
    from node.receive.inbox import Inbox  # noqa: PLC0415
    from node.receive.parser import HeaderParser  # noqa: PLC0415

    enqueuer = DbosEnqueuer(foundation.database, lanes(foundation.settings))

    def enqueue(connection: Connection, instance_ids: Sequence[int]) -> None:
        enqueuer.enqueue(connection, arrivals(instance_ids))

    settings = foundation.settings
    with HeaderParser(deadline_s=settings.limits.header_s) as parser:
        inbox = Inbox(
            settings.node,
            foundation.blobs,
            foundation.database,
            foundation.trail,
            parser,
            enqueue,
        )
        with closing(inbox):
            yield inbox
    enqueuer.close()


def _receive(foundation: Foundation, stop: threading.Event) -> None:
    from node.jobs.committing import Committer  # noqa: PLC0415
    from node.jobs.dbos_engine import DbosEnqueuer  # noqa: PLC0415
    from node.jobs.pledging import PledgeBook  # noqa: PLC0415
    from node.receive.scp import Receiver  # noqa: PLC0415
    from node.service.commitments import commitment_taker  # noqa: PLC0415
    from node.service.pledging import commitment_requests  # noqa: PLC0415
    from node.service.worklist import edge_services  # noqa: PLC0415

    rooms = (foundation.database, foundation.trail)
    settings = foundation.settings
    engine = DbosEnqueuer(foundation.database, lanes(settings))
    with _inbox(foundation) as inbox, closing(engine) as enqueuer:
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
            _announce(dicom=f"{host}:{port}")
            stop.wait()
            receiver.stop()


def _receiver_name() -> str:
    """Name this receiver among those of its node: what it leaves when it is killed is its own."""
    number = os.environ.get("CRDL_SUPERVISED", "1")
    return "receiver" if number == "1" else f"receiver-{number}"


def _work(foundation: Foundation, stop: threading.Event) -> None:
    from models.imaging.isolated import DECODER  # noqa: PLC0415
    from node.jobs.assessing import Assessor  # noqa: PLC0415
    from node.jobs.dbos_engine import DbosEngine  # noqa: PLC0415
    from node.jobs.pairing import Pairer  # noqa: PLC0415
    from node.jobs.recovery import start_sweeper  # noqa: PLC0415
    from node.service.compose import assessment_stage  # noqa: PLC0415

    settings = foundation.settings
    worker = settings.worker
    DECODER.launch()
    assess = None
    if "inference" in worker.queues:
        from node.service.activation import Lectern  # noqa: PLC0415 - torch, where it is used

        together = worker.inference_threads > 1
        batch_s = worker.batch_ms / 1000 if together else 0.0
        lectern = Lectern(foundation.database, settings.model, batch_s)
        lectern.warm_up()
        assess = assessment_stage(settings, lectern)
    stages = compose(settings, assess=assess)
    with holding(foundation.database, executor_name(settings, "work")) as executor:
        stop_sweeper = start_sweeper(foundation.database, executor, "work")
        engine = DbosEngine(foundation.database, executor, lanes(settings), worker.poll_s)
        rooms = (foundation.database, foundation.trail, engine, stages, foundation.blobs)
        handlers: dict[Queue, Handler] = {
            "pairing": Pairer(*rooms),
            "inference": Assessor(*rooms),
        }
        engine.start(
            {queue: handlers[queue] for queue in worker.queues},
            {"pairing": worker.pairing_threads, "inference": worker.inference_threads},
        )
        _announce()
        stop.wait()
        engine.stop(_DRAIN_S)
        stop_sweeper()


def _deliver(foundation: Foundation, stop: threading.Event) -> None:
    from node.jobs.dbos_engine import DbosEngine  # noqa: PLC0415
    from node.jobs.delivering import Deliverer  # noqa: PLC0415
    from node.jobs.outage_watch import OutageWatch, start_outage_watch  # noqa: PLC0415
    from node.jobs.pledging import PledgeBook  # noqa: PLC0415
    from node.jobs.recovery import start_sweeper  # noqa: PLC0415
    from node.service.chaining import keep_chain  # noqa: PLC0415
    from node.service.keeping import keep_house  # noqa: PLC0415
    from node.service.notify import start_notifier  # noqa: PLC0415
    from node.service.performing import start_performer  # noqa: PLC0415
    from node.service.pledging import pledger  # noqa: PLC0415
    from node.service.syslog import start_syslog  # noqa: PLC0415
    from node.service.tracing import start_tracing  # noqa: PLC0415

    settings = foundation.settings
    with holding(foundation.database, executor_name(settings, "deliver")) as executor:
        stop_sweeper = start_sweeper(foundation.database, executor, "deliver")
        stop_chainer = keep_chain(foundation)
        stop_syslog = start_syslog(foundation)
        stop_tracing = start_tracing(foundation)
        stop_notifier = start_notifier(foundation)
        engine = DbosEngine(foundation.database, executor, lanes(settings), settings.worker.poll_s)
        stop_keeper = keep_house(foundation, engine.forget_finished)
        rooms = (foundation.database, foundation.trail, engine)
        deliverer = Deliverer(*rooms, compose(settings), foundation.blobs)
        with _fetcher(foundation, engine) as (fetcher, fetch):
            pledges = pledger(settings, PledgeBook(*rooms))
            engine.start(
                {"delivery": deliverer, **fetcher, "commitment": pledges},
                {
                    "delivery": settings.worker.delivery_threads,
                    "fetch": _FETCH_THREADS,
                    "commitment": 1,
                },
            )
            stop_watch = start_outage_watch(OutageWatch(*rooms))
            stop_performer = start_performer(foundation, fetch)
            _announce()
            stop.wait()
            stop_performer()
            stop_watch()
            engine.stop(_DRAIN_S)
        stop_keeper()
        stop_sweeper()
        stop_chainer()
        stop_notifier()
        stop_tracing()
        stop_syslog()  # after the chainer: it sends what that chained last


@contextmanager
def _fetcher(
    foundation: Foundation, enqueuer: Enqueuer
) -> Iterator[tuple[dict[Queue, Handler], Fetch | None]]:
    """The handler of the fetch queue, and what asks the sources; neither without a source."""
    from node.jobs.fetching import Fetcher, here  # noqa: PLC0415
    from node.service.fetching import fetch_stage  # noqa: PLC0415

    settings = foundation.settings
    if not settings.source:
        yield {}, None
        return
    from node.receive.retrieved import RetrievedIntake  # noqa: PLC0415 - only with a source

    with _inbox(foundation) as inbox:
        intake = RetrievedIntake(inbox, _spool_name(settings), settings.limits)
        fetch = fetch_stage(settings, intake, partial(here, foundation.database))
        stages = replace(compose(settings), fetch=fetch)
        fetcher = Fetcher(foundation.database, foundation.trail, enqueuer, stages)
        yield {"fetch": fetcher}, fetch


def _spool_name(settings: Settings) -> str:
    """Name the spool of what this process fetches, as `own_spool` wants it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", executor_name(settings, "fetch"))[:64]


def _web(foundation: Foundation, stop: threading.Event) -> None:
    from node.jobs.dbos_engine import DbosEnqueuer  # noqa: PLC0415
    from node.jobs.outcomes import keep_outcomes  # noqa: PLC0415
    from node.receive.stow import StowService  # noqa: PLC0415
    from node.service.console import bureau  # noqa: PLC0415
    from node.service.web_server import scheme, web_server  # noqa: PLC0415 - in this role only
    from node.service.worklist import worklist  # noqa: PLC0415
    from node.web.app import create_app  # noqa: PLC0415
    from node.web.console.router import console_router  # noqa: PLC0415
    from node.web.outcomes import outcome_router  # noqa: PLC0415
    from node.web.readiness import standard_checks  # noqa: PLC0415
    from node.web.workitems import workitem_router  # noqa: PLC0415

    settings = foundation.settings

    def take(said: Sequence[OutcomeSaid], actor: str) -> Sequence[Kept]:
        return keep_outcomes(foundation.database, replace(foundation.trail, actor=actor), said)

    checks = standard_checks(settings, foundation.database, foundation.blobs)
    with (
        _inbox(foundation) as inbox,
        closing(DbosEnqueuer(foundation.database)) as enqueuer,
        worklist(foundation) as managed,
    ):
        stow = StowService(inbox, limits=settings.limits)
        app = create_app(
            settings,
            stow.store,
            foundation.database,
            checks,
            foundation.blobs,
            foundation.trail,
        )
        app.include_router(outcome_router(take))
        if managed is not None:
            app.include_router(workitem_router(managed))
        app.include_router(console_router(bureau(foundation, enqueuer)))
        server = web_server(app, foundation)
        with _listen(settings.web.host, settings.web.port) as listener:
            host, port = listener.getsockname()[:2]
            # Without signal handlers of its own: ours already drain, and uvicorn is in a thread.
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            _announce(web=f"{scheme(settings)}://{host}:{port}")
            stop.wait()
            server.should_exit = True
            thread.join()


def _hl7(foundation: Foundation, stop: threading.Event) -> None:
    from node.jobs.outcomes import keep_outcomes  # noqa: PLC0415
    from node.service.hl7 import MllpListener  # noqa: PLC0415

    reading = foundation.settings.reading
    if not reading.mllp_port:
        raise ConfigurationError("reading.mllp_port is 0: name the port to listen on for HL7")
    take = partial(keep_outcomes, foundation.database, foundation.trail)
    with MllpListener(reading.mllp_host, reading.mllp_port, take) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        host, port = listener.server_address[:2]
        _announce(mllp=f"{host!s}:{port}")
        stop.wait()
        listener.shutdown()
        thread.join()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error


_ROLES: dict[str, Callable[[Foundation, threading.Event], None]] = {
    "receive": _receive,
    "work": _work,
    "deliver": _deliver,
    "web": _web,
    "hl7": _hl7,
}
