"""Deliver: reports out, images fetched, the chain, the house, and what is told to others."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from node.config import Settings
from node.jobs.dbos_engine import DbosEngine
from node.jobs.delivering import Deliverer
from node.jobs.engine import Enqueuer, Handler, Queue
from node.jobs.fetching import Fetcher, here
from node.jobs.outage_watch import OutageWatch, start_outage_watch
from node.jobs.pledging import PledgeBook
from node.jobs.recovery import start_sweeper
from node.receive.retrieved import RetrievedIntake
from node.service.chaining import keep_chain
from node.service.compose import Foundation, compose
from node.service.executors import executor_name, holding, lanes
from node.service.fetching import fetch_stage
from node.service.keeping import keep_house
from node.service.notify import start_notifier
from node.service.performing import Fetch, start_performer
from node.service.pledging import pledger
from node.service.roles.intake import an_inbox
from node.service.roles.ready import DRAIN_S, announce
from node.service.syslog import start_syslog
from node.service.tracing import start_tracing

_FETCH_THREADS = 2


def run(foundation: Foundation, stop: threading.Event) -> None:
    """Run the tasks of delivery, fetching and commitment, and what goes on in the background."""
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
            announce()
            stop.wait()
            stop_performer()
            stop_watch()
            engine.stop(DRAIN_S)
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
    settings = foundation.settings
    if not settings.source:
        yield {}, None
        return

    with an_inbox(foundation) as inbox:
        intake = RetrievedIntake(inbox, _spool_name(settings), settings.limits)
        fetch = fetch_stage(settings, intake, partial(here, foundation.database))
        stages = replace(compose(settings), fetch=fetch)
        fetcher = Fetcher(foundation.database, foundation.trail, enqueuer, stages)
        yield {"fetch": fetcher}, fetch


def _spool_name(settings: Settings) -> str:
    """Name the spool of what this process fetches, as `own_spool` wants it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", executor_name(settings, "fetch"))[:64]
