"""What becomes of instances whose bytes are on the disk: their standing and their rows.

Several that come at the same time share one transaction. The order is that of a single one: bytes
fsynced, renamed, folder fsynced, rows committed, and only then the sender is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from sqlalchemy import BindParameter, Connection, Engine, Table, bindparam, insert, select, update
from sqlalchemy.exc import OperationalError

from node.audit.tables import Instance, Report
from node.audit.trail import Entry, Trail
from node.blobs import Blob, BlobStore
from node.boundaries import passing
from node.case import InstanceHeader
from node.database import lock_all, utc_now
from node.receive.standing import Known, Standing, Verdict, Version, decide, to_hash
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

# Ultrasound images, still and multi-frame, and their retired forms: the node makes none.
_NEVER_OURS: Final = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("6.1", "3.1", "6", "3")
)

Enqueue = Callable[[Connection, Sequence[int]], None]
"""Puts instances, by their rows, before the pairing in the caller's transaction."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """An instance whose header is accepted and whose bytes are in the store."""

    blob: Blob
    header: InstanceHeader
    source: str
    association_id: str | None
    hashes: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def version(self) -> Version:
        """It, as it is compared with others of its UID."""
        return Version(self.header, self.blob.sha256, self.hashes)


@dataclass(frozen=True, slots=True)
class Undecided:
    """An instance that is to come again with more `hashes`: those of the pixels of these files."""

    files: frozenset[str]


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

    def settle(self, arrived: Sequence[Arrived]) -> Sequence[Accepted | Undecided | Exception]:
        """Write the rows of instances of different SOP Instance UIDs, and commit.

        Pixels are hashed only for those that come under a UID that is known, and not in here,
        where others wait: of those nothing is written.

        The bytes of one that turns out to be a duplicate stay without a row, until the sweep of
        orphans, unless they are the very bytes that are there already.

        Raises:
            SQLAlchemyError: If the rows of one cannot be written.
        """
        try:
            return self._settle(arrived)
        except OperationalError as error:
            # The database is busy or gone: that is true for all, and for each alone.
            return [error] * len(arrived)

    def _settle(self, everyone: Sequence[Arrived]) -> list[Accepted | Undecided]:
        uids = [one.header.sop_instance_uid for one in everyone]
        with self.database.begin() as connection:
            lock_all(connection, uids)
            known = self._known(connection, uids)
            undecided = {
                one: Undecided(files)
                for one in everyone
                if (files := to_hash(one.version, known[one.header.sop_instance_uid]))
            }
            arrived = [one for one in everyone if one not in undecided]
            verdicts = self._decide(connection, arrived, known)
            rows = {one: row for one in arrived if (row := verdicts[one].row) is not None}
            new = [one for one in arrived if one not in rows]
            rows |= self._insert(connection, new, verdicts)
            entries = [_entry(one, verdicts[one], rows[one]) for one in arrived]
            self.trail.record_all(connection, "instance", entries)
            current = [rows[one] for one in arrived if verdicts[one].standing == "current"]
            if current:
                self.enqueue(connection, current)
            passing("rows-written")
        passing("committed")
        return [
            undecided.get(one) or _accepted(one.header, rows[one], verdicts[one])
            for one in everyone
        ]

    def _decide(
        self,
        connection: Connection,
        arrived: Sequence[Arrived],
        known: Mapping[str, Sequence[Known]],
    ) -> dict[Arrived, Verdict]:
        reported = self._reported(connection, arrived)
        verdicts = {}
        for one in arrived:
            header = one.header
            own = header.sop_instance_uid in reported or is_ours(
                header.manufacturer, header.manufacturer_model_name
            )
            verdicts[one] = decide(one.version, known[header.sop_instance_uid], own=own)
        return verdicts

    def _reported(self, connection: Connection, arrived: Sequence[Arrived]) -> frozenset[str]:
        """Return the UIDs among them under which the node has made an object."""
        headers = [one.header for one in arrived if one.header.sop_class_uid not in _NEVER_OURS]
        if not headers:
            return frozenset()
        uids = [header.sop_instance_uid for header in headers]
        return frozenset(connection.scalars(_REPORTED, {"uids": uids}))

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
        self, connection: Connection, new: Sequence[Arrived], verdicts: dict[Arrived, Verdict]
    ) -> dict[Arrived, int]:
        superseded = [row for one in new for row in verdicts[one].supersedes]
        if superseded:
            connection.execute(
                update(Instance).where(Instance.id.in_(superseded)).values(standing="superseded")
            )
        if not new:
            return {}
        inserted = connection.execute(_INSERT, [_row(one, verdicts[one]) for one in new])
        ids = {uid: row for row, uid in inserted}
        return {one: ids[one.header.sop_instance_uid] for one in new}


def _entry(one: Arrived, verdict: Verdict, row: int) -> Entry:
    header = one.header
    detail = {
        "instance": row,
        "version": verdict.version,
        "sop_class": header.sop_class_uid,
        "transfer_syntax": header.transfer_syntax_uid,
        "sha256": one.blob.sha256 if verdict.row is None else "",
        "source": one.source,
        "association": one.association_id or "",
    }
    if header.pixels_sha256:
        detail["pixels_sha256"] = header.pixels_sha256
    return Entry(
        verdict.event,
        header.sop_instance_uid,
        detail,
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
