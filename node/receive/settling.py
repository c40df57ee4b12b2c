"""What becomes of instances whose bytes are on the disk: standing, name in the store, rows.

Several that come at the same time are settled together, in two stages: while the rows of some are
committed, the files of the next are moved. The order is that of a single one: bytes fsynced,
renamed, folders fsynced, rows committed, and only then the sender is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import BindParameter, Connection, Engine, Table, bindparam, insert, select, update
from sqlalchemy.exc import OperationalError

from node.audit.tables import Instance, Report
from node.audit.trail import Entry, Trail
from node.blobs import Blob, BlobStore
from node.boundaries import passing
from node.case import InstanceHeader
from node.database import lock_all, read_only, utc_now
from node.receive.standing import Known, Standing, Verdict, decide
from sr_templates.equipment import is_ours

_INSTANCES: Final = cast("Table", Instance.__table__)
_REPORTS: Final = cast("Table", Report.__table__)
# Made once, of tables instead of classes: a receiver at its limit has no time to compile them.
_UIDS: Final[BindParameter[Any]] = bindparam("uids", expanding=True)
_REPORTED: Final = select(_REPORTS.c.sop_instance_uid).where(_REPORTS.c.sop_instance_uid.in_(_UIDS))
_KNOWN: Final = (
    select(
        *(_INSTANCES.c.sop_instance_uid, _INSTANCES.c.id, _INSTANCES.c.version),
        *(_INSTANCES.c.standing, _INSTANCES.c.header, _INSTANCES.c.blob_sha256),
    )
    .where(_INSTANCES.c.sop_instance_uid.in_(_UIDS))
    .order_by(_INSTANCES.c.version)
)
_INSERT: Final = insert(_INSTANCES).returning(_INSTANCES.c.id, _INSTANCES.c.sop_instance_uid)

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


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An instance on its way between the two stages.

    Attributes:
        kept: Its file is in the store under its hash; a duplicate's need not be.
    """

    of: Arrived
    kept: bool


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

    def keep(self, arrived: Sequence[Arrived]) -> Sequence[Stored | Exception]:
        """Move the files of instances into the store, unless they will be duplicates.

        Raises:
            BlobError: If the bytes of one cannot be kept.
        """
        try:
            with read_only(self.database) as connection:
                known = self._known(connection, [one.header.sop_instance_uid for one in arrived])
        except OperationalError as error:
            # The database is busy or gone: that is true for all, and for each alone.
            return [error] * len(arrived)
        # A duplicate is one whoever made it: whether it is our own report may be asked later.
        wanted = {
            one: decide(one.header, None, known[one.header.sop_instance_uid], own=False).standing
            != "duplicate"
            for one in arrived
        }
        self._keep([one for one in arrived if wanted[one]])
        return [Stored(one, kept=wanted[one]) for one in arrived]

    def write(self, stored: Sequence[Stored]) -> Sequence[Accepted | Exception]:
        """Write the rows of instances of different SOP Instance UIDs, and commit.

        Raises:
            BlobError: If the bytes of one cannot be kept.
            SQLAlchemyError: If the rows of one cannot be written.
        """
        try:
            while True:
                accepted, lacking = self._write(stored)
                if not lacking:
                    return accepted
                # A version has come or gone since the look without a lock: it needs its bytes.
                self._keep([one.of for one in lacking])
                stored = [replace(one, kept=one.kept or one in lacking) for one in stored]
        except OperationalError as error:
            return [error] * len(stored)

    def _keep(self, arrived: Sequence[Arrived]) -> None:
        if arrived:
            self.blobs.keep_all([(one.spooled, one.blob.sha256) for one in arrived])
            passing("kept")

    def _write(self, stored: Sequence[Stored]) -> tuple[list[Accepted], list[Stored]]:
        """Write the rows in one transaction, or none of them if some lack their bytes."""
        with self.database.begin() as connection:
            lock_all(connection, [one.of.header.sop_instance_uid for one in stored])
            verdicts = self._decide(connection, stored)
            new = [one for one in stored if verdicts[one].row is None]
            lacking = [one for one in new if not one.kept]
            if lacking:
                return [], lacking
            rows = {one: row for one in stored if (row := verdicts[one].row) is not None}
            rows |= self._insert(connection, new, verdicts)
            entries = [_entry(one, verdicts[one], rows[one]) for one in stored]
            self.trail.record_all(connection, "instance", entries)
            current = [rows[one] for one in stored if verdicts[one].standing == "current"]
            if current:
                self.enqueue(connection, current)
            passing("rows-written")
        passing("committed")
        return [_accepted(one.of.header, rows[one], verdicts[one]) for one in stored], []

    def _decide(self, connection: Connection, stored: Sequence[Stored]) -> dict[Stored, Verdict]:
        uids = [one.of.header.sop_instance_uid for one in stored]
        reported = set(connection.scalars(_REPORTED, {"uids": uids}))
        known = self._known(connection, uids)
        verdicts = {}
        for one in stored:
            header = one.of.header
            own = header.sop_instance_uid in reported or is_ours(
                header.manufacturer, header.manufacturer_model_name
            )
            sha256 = one.of.blob.sha256 if one.kept else None
            verdicts[one] = decide(header, sha256, known[header.sop_instance_uid], own=own)
        return verdicts

    def _known(self, connection: Connection, uids: Sequence[str]) -> dict[str, list[Known]]:
        found: dict[str, list[Known]] = defaultdict(list)
        for uid, row, version, standing, header, sha256 in connection.execute(
            _KNOWN, {"uids": uids}
        ):
            is_kept = self.blobs.path(sha256).is_file()
            old = InstanceHeader.from_json(header)
            found[uid].append(Known(row, version, standing, old, sha256, is_kept))
        return found

    def _insert(
        self, connection: Connection, new: Sequence[Stored], verdicts: dict[Stored, Verdict]
    ) -> dict[Stored, int]:
        superseded = [row for one in new for row in verdicts[one].supersedes]
        if superseded:
            connection.execute(
                update(Instance).where(Instance.id.in_(superseded)).values(standing="superseded")
            )
        if not new:
            return {}
        inserted = connection.execute(_INSERT, [_row(one.of, verdicts[one]) for one in new])
        ids = {uid: row for row, uid in inserted}
        return {one: ids[one.of.header.sop_instance_uid] for one in new}


def _entry(one: Stored, verdict: Verdict, row: int) -> Entry:
    header = one.of.header
    return Entry(
        verdict.event,
        header.sop_instance_uid,
        {
            "instance": row,
            "version": verdict.version,
            "sop_class": header.sop_class_uid,
            "transfer_syntax": header.transfer_syntax_uid,
            "sha256": one.of.blob.sha256 if one.kept else "",
            "pixels_sha256": header.pixels_sha256,
            "source": one.of.source,
            "association": one.of.association_id or "",
        },
        header.study_instance_uid,
        header.patient_id,
    )


def _accepted(header: InstanceHeader, row: int, verdict: Verdict) -> Accepted:
    return Accepted(
        row,
        header.sop_class_uid,
        header.sop_instance_uid,
        header.study_instance_uid,
        verdict.standing,
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
