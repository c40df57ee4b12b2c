"""The one way in, for the receiver, the web and what fetches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from sqlalchemy import Connection

from node.jobs.arriving import arrivals
from node.jobs.dbos_engine import DbosEnqueuer
from node.receive.inbox import Inbox
from node.receive.parser import HeaderParser
from node.service.compose import Foundation
from node.service.executors import lanes


@contextmanager
def an_inbox(foundation: Foundation) -> Iterator[Inbox]:
    """An inbox of this process, for as long as the context lasts."""
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
