"""The one way in: header, standing, bytes on the disk, one transaction, and only then success."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, exists, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from node.audit.tables import Instance, Report
from node.audit.trail import Trail
from node.blobs import Blob, BlobStore
from node.boundaries import passing
from node.case import InstanceHeader
from node.config import NodeSettings
from node.database import lock, read_only, utc_now
from node.errors import BlobError, IntakeError
from node.receive import statuses
from node.receive.announced import Announced
from node.receive.contexts import Contexts
from node.receive.faults import DeclinedError, OutOfResourcesError
from node.receive.parser import HeaderParser
from node.receive.refusals import RefusalLog
from node.receive.room import Room
from node.receive.standing import Known, Standing, Verdict, decide
from sr_templates.equipment import is_ours

_LOG = logging.getLogger(__name__)
_SOURCE_CHARACTERS: Final = 80

Enqueue = Callable[[Connection, int], None]


@dataclass(frozen=True, slots=True)
class Accepted:
    """An instance that is the node's responsibility now.

    Attributes:
        instance_id: Its row; of a duplicate, the row that it equals.
    """

    instance_id: int
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    standing: Standing


class Inbox:
    """Accepts spooled files, from any number of threads and processes.

    `enqueue` is called in the transaction of every instance that pairing may use.
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
        self._engine = engine
        self._trail = trail
        self._parser = parser
        self._enqueue = enqueue
        self._refusals = RefusalLog(engine, trail)

    def accept(
        self,
        spooled: Path,
        source: str,
        association_id: str | None = None,
        announced: Announced | None = None,
    ) -> Accepted:
        """Take over one instance; when this returns it survives a power loss.

        Args:
            spooled: A closed Part 10 file within the blob store's spool; it is gone afterwards.
            source: Who sent it, for the audit.
            association_id: The association that it came over, if any.
            announced: What it has to be.

        Raises:
            DeclinedError: If it is not accepted; nothing of it remains but a ledger row.
        """
        announced = announced or Announced()
        source = source[:_SOURCE_CHARACTERS]
        header: InstanceHeader | None = None
        try:
            passing("spooled")
            self.room.require()
            header = self._parser.read(spooled)
            passing("parsed")
            announced.require(header)
            self.contexts.require(header.sop_class_uid, header.transfer_syntax_uid)
            return self._take_over(spooled, header, source, association_id)
        except (IntakeError, BlobError, SQLAlchemyError) as error:
            declined = _declined(_reason(error), header, announced)
            self._refusals.record(declined, header, announced, source, association_id)
            raise declined from error
        finally:
            spooled.unlink(missing_ok=True)

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

    def _take_over(
        self, spooled: Path, header: InstanceHeader, source: str, association_id: str | None
    ) -> Accepted:
        with read_only(self._engine) as connection:
            foreseen = self._decide(connection, header, None)
        accepted = None
        if foreseen.standing == "duplicate":
            accepted = self._settle(header, None, source, association_id)
        # A version may have come or gone since the look without a lock: then it needs its bytes.
        if accepted is None:
            blob = self.blobs.keep(spooled)
            passing("kept")
            accepted = self._settle(header, blob, source, association_id)
        assert accepted is not None  # noqa: S101 - with a blob every verdict settles
        return accepted

    def _settle(
        self, header: InstanceHeader, blob: Blob | None, source: str, association_id: str | None
    ) -> Accepted | None:
        """Write the rows of one instance in one transaction; None if it needs a blob first."""
        with self._engine.begin() as connection:
            lock(connection, header.sop_instance_uid)
            verdict = self._decide(connection, header, blob)
            if verdict.row is not None:
                row = verdict.row
            elif blob is None:
                return None
            else:
                row = self._insert(connection, header, blob, verdict, source, association_id)
            self._trail.record(
                connection,
                "instance",
                verdict.event,
                header.sop_instance_uid,
                {
                    "instance": row,
                    "version": verdict.version,
                    "sop_class": header.sop_class_uid,
                    "transfer_syntax": header.transfer_syntax_uid,
                    "sha256": blob.sha256 if blob else "",
                    "pixels_sha256": header.pixels_sha256,
                    "source": source,
                    "association": association_id or "",
                },
                study=header.study_instance_uid,
                patient=header.patient_id,
            )
            if verdict.standing == "current":
                self._enqueue(connection, row)
            passing("rows-written")
        passing("committed")
        return Accepted(
            row,
            header.sop_class_uid,
            header.sop_instance_uid,
            header.study_instance_uid,
            verdict.standing,
        )

    def _decide(self, connection: Connection, header: InstanceHeader, blob: Blob | None) -> Verdict:
        own = connection.scalar(
            select(exists().where(Report.sop_instance_uid == header.sop_instance_uid))
        ) or is_ours(header.manufacturer, header.manufacturer_model_name)
        known = self._known(connection, header.sop_instance_uid)
        return decide(header, blob.sha256 if blob else None, known, own=bool(own))

    def _known(self, connection: Connection, sop_instance_uid: str) -> Sequence[Known]:
        rows = connection.execute(
            select(
                Instance.id,
                Instance.version,
                Instance.standing,
                Instance.header,
                Instance.blob_sha256,
            )
            .where(Instance.sop_instance_uid == sop_instance_uid)
            .order_by(Instance.version)
        )
        return [
            Known(
                row,
                version,
                standing,
                InstanceHeader.from_json(header),
                sha256,
                self.blobs.path(sha256).is_file(),
            )
            for row, version, standing, header, sha256 in rows
        ]

    def _insert(
        self,
        connection: Connection,
        header: InstanceHeader,
        blob: Blob,
        verdict: Verdict,
        source: str,
        association_id: str | None,
    ) -> int:
        if verdict.supersedes:
            connection.execute(
                update(Instance)
                .where(Instance.id.in_(verdict.supersedes))
                .values(standing="superseded")
            )
        return connection.scalars(
            insert(Instance).returning(Instance.id),
            {
                "sop_instance_uid": header.sop_instance_uid,
                "version": verdict.version,
                "standing": verdict.standing,
                "sop_class_uid": header.sop_class_uid,
                "study_instance_uid": header.study_instance_uid,
                "series_instance_uid": header.series_instance_uid,
                "modality": header.modality,
                "patient_id": header.patient_id,
                "blob_sha256": blob.sha256,
                "size": blob.size,
                "header": header.to_json(),
                "source": source,
                "association_id": association_id,
                "received_at": utc_now(),
            },
        ).one()


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
