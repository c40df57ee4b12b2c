"""The overview: the live queue, throughput, what waits for a person, archives, disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.orm import InstrumentedAttribute

from node.audit.tables import CircuitRow, Delivery, FindingRow, Instance, Job, Lease
from node.blobs import BlobStore
from node.config import DestinationSettings, Settings
from node.database import read_only, server_now

QUEUE: Final = ("waiting", "queued", "running", "delivering")
"""States that pass by themselves, in the order of the flow."""
ATTENTION: Final = ("held", "dead")
"""States that wait for a person."""
_HOURS: Final = 24
_LATEST: Final = 500
_WAITING_SHOWN: Final = 8
_SILENT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """How many jobs are in a state, and for how many seconds the oldest has been."""

    state: str
    jobs: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Archive:
    """A destination with what is on its way to it.

    Attributes:
        open: Objects that are pending or sent and not proven.
        circuit: `closed`; `open` while it is down and probed; `ramp` just after.
        dead: Objects that were given up.
        proven_at: When it last proved one, of the latest deliveries; None for never.
    """

    name: str
    protocol: str
    address: str
    open: int
    dead: int
    proven_at: datetime | None
    last_error: str
    circuit: str

    @property
    def state(self) -> str:
        """`down`, `dead letters`, `sending` or `ok`, for a chip."""
        if self.circuit == "open":
            return "down"
        if self.dead:
            return "dead letters"
        return "sending" if self.open else "ok"


@dataclass(frozen=True, slots=True)
class Executor:
    """A worker or sender and the seconds since its last sign of life."""

    name: str
    role: str
    silent_s: float

    @property
    def lives(self) -> bool:
        """Whether it gave a sign of life within a minute."""
        return self.silent_s < _SILENT_S


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows.

    Attributes:
        attention: Jobs that wait for a person, by state, and the first of them.
        received: Instances of the last hour and day.
        assessed: Cases of the last hour and day.
        hours: Cases a clock hour, 24 of them, the present one last.
        turnaround_s: Median from the SEG's receipt to the proof, of the latest jobs; None without.
    """

    now: datetime
    stages: tuple[Stage, ...]
    attention: Mapping[str, int]
    waiting: tuple[Mapping[str, Any], ...]
    received: tuple[int, int]
    assessed: tuple[int, int]
    hours: tuple[tuple[datetime, int], ...]
    turnaround_s: float | None
    archives: tuple[Archive, ...]
    executors: tuple[Executor, ...]
    free_bytes: int
    total_bytes: int
    minimum_bytes: int

    @property
    def people_needed(self) -> int:
        """How many jobs wait for a person."""
        return sum(self.attention.values())


def overview(database: Engine, blobs: BlobStore, settings: Settings) -> Overview:
    """Ask for everything at this moment."""
    disk = shutil.disk_usage(blobs.root)
    with read_only(database) as connection:
        now = server_now(connection)
        stages = _stages(connection, now)
        return Overview(
            now=now,
            stages=tuple(stages[state] for state in QUEUE),
            attention={state: stages[state].jobs for state in ATTENTION},
            waiting=_waiting(connection),
            received=_since(connection, Instance.received_at, now),
            assessed=_since(connection, FindingRow.created_at, now),
            hours=_by_hour(connection, now),
            turnaround_s=_turnaround(connection),
            archives=_archives(connection, settings.destination),
            executors=tuple(
                Executor(row.executor_id, row.role, (now - row.beat_at).total_seconds())
                for row in connection.execute(select(Lease.__table__).order_by(Lease.role))
            ),
            free_bytes=disk.free,
            total_bytes=disk.total,
            minimum_bytes=settings.node.minimum_free_mib << 20,
        )


def people_needed(database: Engine) -> int:
    """Return how many jobs wait for a person; every page says it."""
    query = select(func.count()).select_from(Job).where(Job.state.in_(ATTENTION))
    with read_only(database) as connection:
        return connection.scalar(query) or 0


def _stages(connection: Connection, now: datetime) -> dict[str, Stage]:
    rows = connection.execute(
        select(Job.state, func.count(), func.min(Job.updated_at))
        .where(Job.state.in_((*QUEUE, *ATTENTION)))  # not the finished ones: they are a million
        .group_by(Job.state)
    )
    found = {state: Stage(state, 0, 0.0) for state in (*QUEUE, *ATTENTION)}
    for state, count, since in rows:
        found[state] = Stage(state, count, max((now - since).total_seconds(), 0.0))
    return found


def _waiting(connection: Connection) -> tuple[Mapping[str, Any], ...]:
    rows = connection.execute(
        select(
            Job.id, Job.state, Job.reason, Job.patient_id, Job.study_instance_uid, Job.updated_at
        )
        .where(Job.state.in_(ATTENTION))
        .order_by(Job.updated_at.desc(), Job.id.desc())
        .limit(_WAITING_SHOWN)
    )
    return tuple(dict(row) for row in rows.mappings())


def _since(
    connection: Connection, column: InstrumentedAttribute[datetime], now: datetime
) -> tuple[int, int]:
    hour, day = (
        connection.scalar(select(func.count()).where(column >= now - timedelta(hours=hours))) or 0
        for hours in (1, _HOURS)
    )
    return hour, day


def _by_hour(connection: Connection, now: datetime) -> tuple[tuple[datetime, int], ...]:
    this = now.replace(minute=0, second=0, microsecond=0)
    first = this - timedelta(hours=_HOURS - 1)
    hour: Any = (
        func.to_char(func.timezone("UTC", FindingRow.created_at), "YYYY-MM-DD HH24")
        if connection.dialect.name == "postgresql"
        else func.strftime("%Y-%m-%d %H", FindingRow.created_at)
    )
    rows = connection.execute(
        select(hour, func.count()).where(FindingRow.created_at >= first).group_by(hour)
    )
    counted: dict[str, int] = dict(rows.all())
    hours = (first + timedelta(hours=number) for number in range(_HOURS))
    return tuple((one, counted.get(one.strftime("%Y-%m-%d %H"), 0)) for one in hours)


def _turnaround(connection: Connection) -> float | None:
    """Of the latest jobs that are proven everywhere."""
    latest = select(Job.total_s).order_by(Job.id.desc()).limit(_LATEST).subquery()
    seconds = connection.scalars(select(latest.c.total_s).where(latest.c.total_s.is_not(None)))
    found = list(seconds)
    return median(found) if found else None


def _archives(
    connection: Connection, configured: Sequence[DestinationSettings]
) -> tuple[Archive, ...]:
    counts: dict[str, dict[str, int]] = {}
    for name, state, count in connection.execute(
        select(Delivery.destination, Delivery.state, func.count())
        .where(Delivery.state.in_(("pending", "sent", "dead")))
        .group_by(Delivery.destination, Delivery.state)
    ):
        counts.setdefault(name, {})[state] = count
    circuits: dict[str, str] = dict(
        connection.execute(select(CircuitRow.destination, CircuitRow.state)).all()
    )
    proven: dict[str, datetime] = {}
    errors: dict[str, str] = {}
    latest = connection.execute(
        select(Delivery.destination, Delivery.state, Delivery.updated_at, Delivery.last_error)
        .order_by(Delivery.id.desc())
        .limit(_LATEST)
    )
    for row in latest:
        if row.state == "proven":
            proven[row.destination] = max(
                row.updated_at, proven.get(row.destination, row.updated_at)
            )
        elif row.last_error:
            errors.setdefault(row.destination, row.last_error)
    return tuple(
        Archive(
            name=one.name,
            protocol={"dimse": "DIMSE", "dicomweb": "DICOMweb"}[one.protocol],
            address=one.url or f"{one.ae_title}@{one.host}:{one.port}",
            open=sum(counts.get(one.name, {}).get(state, 0) for state in ("pending", "sent")),
            dead=counts.get(one.name, {}).get("dead", 0),
            proven_at=proven.get(one.name),
            last_error=errors.get(one.name, ""),
            circuit=circuits.get(one.name, "closed"),
        )
        for one in configured
    )
