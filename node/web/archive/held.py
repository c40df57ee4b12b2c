"""The instances that the node holds: received ones in their newest form, and our own reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pydicom import Dataset, dcmread
from sqlalchemy import Engine, Select, Subquery, func, select, union_all

from node.audit.tables import Instance, Job, Report
from node.blobs import BlobStore
from node.database import read_only

_HEADERS_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Held:
    """One instance and where its bytes lie."""

    study: str
    series: str
    instance: str
    path: Path

    def header(self) -> Dataset:
        """Return everything before the pixels, file meta information too; not to be changed."""
        return _header(self.path)

    def whole(self) -> Dataset:
        """Return the instance with its pixels."""
        return dcmread(self.path)


@lru_cache(maxsize=_HEADERS_KEPT)
def _header(path: Path) -> Dataset:
    # A path names its content by hash, so a kept header never grows old.
    return dcmread(path, stop_before_pixels=True)


@dataclass(frozen=True, slots=True)
class Filter:
    """What SQL can narrow down; empty admits everything.

    Attributes:
        studies: Study Instance UIDs.
        series: Series Instance UIDs.
        instances: SOP Instance UIDs.
        patient: An exact Patient ID.
    """

    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    patient: str = ""


def _everything() -> Subquery:
    received = select(
        Instance.study_instance_uid.label("study"),
        Instance.series_instance_uid.label("series"),
        Instance.sop_instance_uid.label("instance"),
        Instance.patient_id.label("patient"),
        Instance.blob_sha256.label("blob"),
        Instance.received_at.label("at"),
    ).where(Instance.standing == "current")
    made = select(
        Report.study_instance_uid,
        Report.series_instance_uid,
        Report.sop_instance_uid,
        Job.patient_id,
        Report.blob_sha256,
        Report.created_at,
    ).join(Job, (Job.id == Report.job_id) & Job.expired_at.is_(None))
    return union_all(received, made).subquery()


@dataclass(frozen=True)
class Holdings:
    """Looks instances up."""

    engine: Engine
    blobs: BlobStore
    _everything: Subquery = field(default_factory=_everything, init=False)

    def find(self, wanted: Filter) -> list[Held]:
        """Return the instances of a filter, in the order of arrival."""
        table = self._everything.c
        query = self._narrowed(
            select(table.study, table.series, table.instance, table.blob), wanted
        ).order_by(table.at, table.instance)
        with read_only(self.engine) as connection:
            rows = connection.execute(query).all()
        return [
            Held(row.study, row.series, row.instance, self.blobs.path(row.blob)) for row in rows
        ]

    def studies(self, wanted: Filter, limit: int, offset: int) -> list[str]:
        """Return Study Instance UIDs, the one that changed last first."""
        table = self._everything.c
        query = (
            self._narrowed(select(table.study), wanted)
            .group_by(table.study)
            .order_by(func.max(table.at).desc(), table.study)
        )
        with read_only(self.engine) as connection:
            return list(connection.scalars(query.limit(limit).offset(offset)))

    def _narrowed(
        self, query: Select[*tuple[str, ...]], wanted: Filter
    ) -> Select[*tuple[str, ...]]:
        table = self._everything.c
        for column, values in (
            (table.study, wanted.studies),
            (table.series, wanted.series),
            (table.instance, wanted.instances),
        ):
            if values:
                query = query.where(column.in_(values))
        return query.where(table.patient == wanted.patient) if wanted.patient else query


def uids_of(held: Sequence[Held], level: str) -> list[str]:
    """Return the distinct UIDs of a level (`study`, `series`, `instance`), in order."""
    return list(dict.fromkeys(getattr(one, level) for one in held))
