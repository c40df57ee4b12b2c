"""What becomes of instances whose bytes are on the disk: standing, name in the store, rows.

Several that come at the same time are settled in one transaction. The order is that of a single
one: bytes fsynced, renamed, folders fsynced, rows committed, and only then the sender is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import OperationalError

from node.audit.tables import Instance, Report
from node.audit.trail import Entry, Trail
from node.blobs import Blob, BlobStore
from node.boundaries import passing
from node.case import InstanceHeader
from node.database import lock, read_only, utc_now
from node.receive.standing import Known, Standing, Verdict, decide
from sr_templates.equipment import is_ours

Enqueue = Callable[[Connection, Sequence[int]], None]
"""Puts instances, by their rows, before the pairing in the caller's transaction."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """An instance whose header is accepted.

    Attributes:
        spooled: Its file, fsynced.
        blob: Its hash and size.
    """

    spooled: Path
    blob: Blob
    header: InstanceHeader
    source: str
    association_id: str | None


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


@dataclass(frozen=True, slots=True)
class Settler:
    """Settles instances; `enqueue` is called with those of one transaction that pairing may use."""

    database: Engine
    blobs: BlobStore
    trail: Trail
    enqueue: Enqueue

    def __call__(self, arrived: Sequence[Arrived]) -> Sequence[Accepted | Exception]:
        """Settle instances of different SOP Instance UIDs.

        Raises:
            BlobError: If the bytes of one cannot be kept.
            SQLAlchemyError: If the rows of one cannot be written.
        """
        try:
            return self._settle(arrived)
        except OperationalError as error:
            # The database is busy or gone: that is true for all, and for each alone.
            return [error] * len(arrived)

    def _settle(self, arrived: Sequence[Arrived]) -> Sequence[Accepted]:
        with read_only(self.database) as connection:
            foreseen = self._decide(connection, arrived, set())
        kept: set[Path] = set()
        self._keep([one for one in arrived if foreseen[one].standing != "duplicate"], kept)
        while True:
            accepted, lacking = self._write(arrived, kept)
            if not lacking:
                return accepted
            # A version has come or gone since the look without a lock: now it needs its bytes.
            self._keep(lacking, kept)

    def _keep(self, arrived: Sequence[Arrived], kept: set[Path]) -> None:
        if arrived:
            self.blobs.keep_all([(one.spooled, one.blob.sha256) for one in arrived])
            kept |= {one.spooled for one in arrived}
            passing("kept")

    def _write(
        self, arrived: Sequence[Arrived], kept: set[Path]
    ) -> tuple[list[Accepted], list[Arrived]]:
        """Write the rows in one transaction, or none of them if some lack their bytes."""
        with self.database.begin() as connection:
            for uid in sorted(one.header.sop_instance_uid for one in arrived):
                lock(connection, uid)  # in one order everywhere: no two wait for each other
            verdicts = self._decide(connection, arrived, kept)
            lacking = [
                one for one in arrived if verdicts[one].row is None and one.spooled not in kept
            ]
            if lacking:
                return [], lacking
            rows = {one: row for one in arrived if (row := verdicts[one].row) is not None}
            new = [one for one in arrived if one not in rows]
            rows |= self._insert(connection, new, verdicts)
            entries = [self._entry(one, verdicts[one], rows[one], kept) for one in arrived]
            self.trail.record_all(connection, "instance", entries)
            current = [rows[one] for one in arrived if verdicts[one].standing == "current"]
            if current:
                self.enqueue(connection, current)
            passing("rows-written")
        passing("committed")
        return [
            Accepted(
                rows[one],
                one.header.sop_class_uid,
                one.header.sop_instance_uid,
                one.header.study_instance_uid,
                verdicts[one].standing,
            )
            for one in arrived
        ], []

    def _decide(
        self, connection: Connection, arrived: Sequence[Arrived], kept: set[Path]
    ) -> dict[Arrived, Verdict]:
        uids = [one.header.sop_instance_uid for one in arrived]
        reported = set(
            connection.scalars(
                select(Report.sop_instance_uid).where(Report.sop_instance_uid.in_(uids))
            )
        )
        known = self._known(connection, uids)
        return {
            one: decide(
                one.header,
                one.blob.sha256 if one.spooled in kept else None,
                known[one.header.sop_instance_uid],
                own=one.header.sop_instance_uid in reported
                or is_ours(one.header.manufacturer, one.header.manufacturer_model_name),
            )
            for one in arrived
        }

    def _known(self, connection: Connection, uids: Sequence[str]) -> dict[str, list[Known]]:
        found: dict[str, list[Known]] = defaultdict(list)
        for uid, row, version, standing, header, sha256 in connection.execute(
            select(
                Instance.sop_instance_uid,
                Instance.id,
                Instance.version,
                Instance.standing,
                Instance.header,
                Instance.blob_sha256,
            )
            .where(Instance.sop_instance_uid.in_(uids))
            .order_by(Instance.version)
        ):
            is_kept = self.blobs.path(sha256).is_file()
            old = InstanceHeader.from_json(header)
            found[uid].append(Known(row, version, standing, old, sha256, is_kept))
        return found

    def _insert(
        self,
        connection: Connection,
        arrived: Sequence[Arrived],
        verdicts: dict[Arrived, Verdict],
    ) -> dict[Arrived, int]:
        superseded = [row for one in arrived for row in verdicts[one].supersedes]
        if superseded:
            connection.execute(
                update(Instance).where(Instance.id.in_(superseded)).values(standing="superseded")
            )
        if not arrived:
            return {}
        inserted = connection.execute(
            insert(Instance).returning(Instance.id, Instance.sop_instance_uid),
            [_row(one, verdicts[one]) for one in arrived],
        )
        ids = {uid: row for row, uid in inserted}
        return {one: ids[one.header.sop_instance_uid] for one in arrived}

    @staticmethod
    def _entry(one: Arrived, verdict: Verdict, row: int, kept: set[Path]) -> Entry:
        return Entry(
            verdict.event,
            one.header.sop_instance_uid,
            {
                "instance": row,
                "version": verdict.version,
                "sop_class": one.header.sop_class_uid,
                "transfer_syntax": one.header.transfer_syntax_uid,
                "sha256": one.blob.sha256 if one.spooled in kept else "",
                "pixels_sha256": one.header.pixels_sha256,
                "source": one.source,
                "association": one.association_id or "",
            },
            one.header.study_instance_uid,
            one.header.patient_id,
        )


def _row(one: Arrived, verdict: Verdict) -> dict[str, Any]:
    header = one.header
    return {
        "sop_instance_uid": header.sop_instance_uid,
        "version": verdict.version,
        "standing": verdict.standing,
        "sop_class_uid": header.sop_class_uid,
        "study_instance_uid": header.study_instance_uid,
        "series_instance_uid": header.series_instance_uid,
        "modality": header.modality,
        "patient_id": header.patient_id,
        "blob_sha256": one.blob.sha256,
        "size": one.blob.size,
        "header": header.to_json(),
        "source": one.source,
        "association_id": one.association_id,
        "received_at": utc_now(),
    }
