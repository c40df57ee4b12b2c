"""What monitoring shows of the latest findings: how long, how many, how sure, how right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
from sqlalchemy import Connection, Engine, func, select

from models.bundle import shipped_bundles
from node.audit.tables import Activation, FindingRow, Job, ModelUsage
from node.config import Settings
from node.database import read_only, server_now

if TYPE_CHECKING:
    from models.study.monitor import Monitoring

LATEST: Final = 2000
"""Findings that are looked at: what is plotted is the present, and quick over a million."""
DAYS: Final = 30
_BINS: Final = 20
_TURNAROUND_BINS: Final = (0.5, 1, 2, 5, 10, 20, 60, 300, 3600)


@dataclass(frozen=True, slots=True)
class Turnaround:
    """Seconds from receipt to proof, of the latest jobs; shares up to each bound, and the rest.

    Attributes:
        bounds: Upper ends in seconds; the last bin has none.
    """

    jobs: int
    median_s: float
    p95_s: float
    bounds: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Monitored:
    """All of the page.

    Attributes:
        volumes: (day, assessed, refused), the last 30 days, oldest first.
        scores: Cases in each of 20 equal bins of the probability, by class: benign, malignant
            and none given.
        bundle: Name and SHA-256 of the bundle of the latest finding; "" without one.
    """

    turnaround: Turnaround | None
    volumes: tuple[tuple[date, int, int], ...]
    scores: tuple[tuple[int, int, int], ...]
    threshold: float | None
    bundle: tuple[str, str]
    judged: Monitoring


def monitored(database: Engine, settings: Settings) -> Monitored:
    """Look at the latest findings of the bundle that answered last."""
    from models.study.monitor import monitor  # noqa: PLC0415 - statsmodels, on demand
    from node.jobs.monitoring import monitored_cases, training_reference  # noqa: PLC0415 - same

    with read_only(database) as connection:
        turnaround = _turnaround(connection)
        volumes = _volumes(connection)
        scores, threshold = _scores(connection)
        once = connection.scalars(
            select(Activation.bundle).where(Activation.bundle != "").distinct()
        ).all()
    sha256, cases = monitored_cases(database, latest=LATEST)
    name, reference = training_reference(sha256, [settings.model.bundle, *once, *shipped_bundles()])
    return Monitored(
        turnaround, volumes, scores, threshold, (name, sha256), monitor(cases, reference)
    )


def _turnaround(connection: Connection) -> Turnaround | None:
    latest = select(Job.total_s).order_by(Job.id.desc()).limit(LATEST).subquery()
    seconds = np.array(
        connection.scalars(select(latest.c.total_s).where(latest.c.total_s.is_not(None))).all(),
        dtype=np.float64,
    )
    if not len(seconds):
        return None
    edges = [0.0, *_TURNAROUND_BINS, np.inf]
    counts = np.histogram(seconds, bins=edges)[0]
    return Turnaround(
        len(seconds),
        float(np.median(seconds)),
        float(np.quantile(seconds, 0.95)),
        tuple(float(bound) for bound in _TURNAROUND_BINS),
        tuple(int(count) for count in counts),
    )


def _volumes(connection: Connection) -> tuple[tuple[date, int, int], ...]:
    today = server_now(connection).date()
    first = today - timedelta(days=DAYS - 1)
    rows = connection.execute(
        select(ModelUsage.day, func.sum(ModelUsage.cases), func.sum(ModelUsage.refused))
        .where(ModelUsage.day >= first)
        .group_by(ModelUsage.day)
    )
    counted = {day: (int(cases), int(refused)) for day, cases, refused in rows}
    days = (first + timedelta(days=number) for number in range(DAYS))
    return tuple(
        (
            day,
            counted.get(day, (0, 0))[0] - counted.get(day, (0, 0))[1],
            counted.get(day, (0, 0))[1],
        )
        for day in days
    )


def _scores(
    connection: Connection,
) -> tuple[tuple[tuple[int, int, int], ...], float | None]:
    rows = connection.execute(
        select(FindingRow.probability, FindingRow.malignancy, FindingRow.finding)
        .order_by(FindingRow.id.desc())
        .limit(LATEST)
    ).all()
    scored = [row for row in rows if row.probability is not None]
    threshold = float(scored[0].finding["threshold"]) if scored else None
    return _binned([(row.probability, row.malignancy) for row in scored]), threshold


def _binned(
    scored: Sequence[tuple[float, str | None]],
) -> tuple[tuple[int, int, int], ...]:
    bins = [[0, 0, 0] for _ in range(_BINS)]
    column = {"benign": 0, "malignant": 1}
    for probability, malignancy in scored:
        number = min(int(probability * _BINS), _BINS - 1)
        bins[number][column.get(malignancy or "", 2)] += 1
    return tuple((one[0], one[1], one[2]) for one in bins)
