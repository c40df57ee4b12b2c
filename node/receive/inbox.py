"""The one way in: header, standing, bytes on the disk, one transaction, and only then success."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from node.audit.trail import Trail
from node.blobs import BlobStore
from node.boundaries import passing
from node.case import InstanceHeader
from node.config import NodeSettings
from node.errors import BlobError, IntakeError
from node.receive import statuses
from node.receive.announced import Announced
from node.receive.contexts import Contexts
from node.receive.faults import DeclinedError, OutOfResourcesError
from node.receive.group import Group
from node.receive.parser import HeaderParser
from node.receive.refusals import RefusalLog
from node.receive.room import Room
from node.receive.settling import Accepted, Arrived, Enqueue, Settler, Undecided

_LOG = logging.getLogger(__name__)
_SOURCE_CHARACTERS: Final = 80


class Inbox:
    """Accepts spooled files, from any number of threads and processes.

    `enqueue` is called in the transaction of every instance, or several, that pairing may use.
    """

    def __init__(
        self,
        settings: NodeSettings,
        blobs: BlobStore,
        engine: Engine,
        trail: Trail,
        parser: HeaderParser,
        enqueue: Enqueue,
    ) -> None:
        self.blobs = blobs
        self.room = Room(settings, blobs, engine)
        self.contexts = Contexts.load(accept_deflated=settings.accept_deflated)
        self._parser = parser
        settler = Settler(engine, blobs, trail, enqueue)
        self._settling: Group[Arrived, Accepted | Undecided] = Group(
            settler.settle, self._has_others
        )
        self._refusals = RefusalLog(engine, trail)
        self._underway = 0
        self._counting = threading.Lock()

    def accept(
        self,
        spooled: Path,
        source: str,
        association_id: str | None = None,
        announced: Announced | None = None,
        sha256: str | None = None,
    ) -> Accepted:
        """Take over one instance; when this returns it survives a power loss.

        Args:
            spooled: A closed Part 10 file within the blob store's spool; it is gone afterwards.
            source: Who sent it, for the audit.
            association_id: The association that it came over, if any.
            announced: What it has to be.
            sha256: Its hash, if the caller has computed it already.

        Raises:
            DeclinedError: If it is not accepted; nothing of it remains but a ledger row.
        """
        announced = announced or Announced()
        source = source[:_SOURCE_CHARACTERS]
        header: InstanceHeader | None = None
        try:
            with self._underway_too():
                passing("spooled")
                self.room.require()
                header = self._parser.read(spooled)
                passing("parsed")
                announced.require(header)
                self.contexts.require(header.sop_class_uid, header.transfer_syntax_uid)
                blob = self.blobs.keep(spooled, sha256)
                passing("kept")
                arrived = Arrived(blob, header, source, association_id)
                return self._settle(arrived)
        except (IntakeError, BlobError, SQLAlchemyError) as error:
            declined = _declined(_reason(error), header, announced)
            self._refusals.record(declined, header, announced, source, association_id)
            raise declined from error
        finally:
            spooled.unlink(missing_ok=True)

    def _settle(self, arrived: Arrived) -> Accepted:
        """Have it settled; hash pixels until its standing can be told."""
        while True:
            outcome = self._settling.do(arrived.header.sop_instance_uid, arrived)
            if isinstance(outcome, Accepted):
                return outcome
            found = {sha256: self._content_hash(sha256) for sha256 in outcome.files}
            own = found.get(arrived.blob.sha256) or arrived.header.pixels_sha256
            header = replace(arrived.header, pixels_sha256=own)
            arrived = replace(arrived, header=header, hashes={**arrived.hashes, **found})

    def _content_hash(self, sha256: str) -> str | None:
        """Hash the pixels of a file of the store; None if they cannot be read."""
        try:
            return self._parser.content_hash(self.blobs.path(sha256))
        except OutOfResourcesError:
            raise
        except IntakeError as error:
            _LOG.error("the blob %s cannot be compared: %s", sha256, error)
            return None

    @contextmanager
    def _underway_too(self) -> Iterator[None]:
        with self._counting:
            self._underway += 1
        try:
            yield
        finally:
            with self._counting:
                self._underway -= 1

    def _has_others(self) -> bool:
        return self._underway > 1

    def decline(
        self,
        fault: IntakeError,
        source: str,
        association_id: str | None = None,
        announced: Announced | None = None,
    ) -> DeclinedError:
        """Note that an instance could not even be spooled; return what its sender is told."""
        announced = announced or Announced()
        declined = _declined(fault, None, announced)
        self._refusals.record(
            declined, None, announced, source[:_SOURCE_CHARACTERS], association_id
        )
        return declined

    def close(self) -> None:
        """Write what the record of refusals still owes."""
        self._refusals.write_counts(everything=True)


def _reason(error: Exception) -> IntakeError:
    """A full store and a silent database are reasons to come back later."""
    if isinstance(error, IntakeError):
        return error
    if isinstance(error, BlobError):
        return OutOfResourcesError(str(error))
    _LOG.error("the database did not take an instance: %s", type(error).__name__)
    return OutOfResourcesError("the database does not answer")


def _declined(
    reason: IntakeError, header: InstanceHeader | None, announced: Announced
) -> DeclinedError:
    return DeclinedError(
        str(reason),
        statuses.of_error(reason),
        header.sop_class_uid if header else announced.sop_class_uid,
        header.sop_instance_uid if header else announced.sop_instance_uid,
    )
