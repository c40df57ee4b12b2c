"""How often each model answered, counted in the transaction that keeps or drops a finding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from node.audit.tables import FindingRow, ModelUsage

SHARDS = 8
"""Counts of one day and model that are kept apart, so that workers do not wait for each other."""

_INSERT: dict[str, Callable[[type[ModelUsage]], Any]] = {
    "postgresql": postgresql.insert,
    "sqlite": sqlite.insert,
}
_COUNTS = ("cases", "refused", "malignant", "scored", "probabilities")
_Key = tuple[date, str, str]


def count(
    connection: Connection, job_id: int, findings: Iterable[tuple[datetime, dict[str, Any]]]
) -> None:
    """Add findings that were just stored, each with the time it was stored at."""
    _add(connection, job_id, [_counted(at, finding) for at, finding in findings], 1)


def forget(connection: Connection, job_id: int) -> None:
    """Take away the findings of a job that are about to be dropped: it is assessed anew."""
    rows = connection.execute(
        select(FindingRow.created_at, FindingRow.finding).where(FindingRow.job_id == job_id)
    ).all()
    _add(connection, job_id, [_counted(at, finding) for at, finding in rows], -1)


def _counted(at: datetime, finding: dict[str, Any]) -> tuple[_Key, tuple[float, ...]]:
    probability = finding["probability"]
    return (
        (at.astimezone(UTC).date(), finding["bundle"]["sha256"], finding["model"] or ""),
        (
            1,
            int(finding["status"] == "refused"),
            int(finding["class"] == "malignant"),
            int(probability is not None),
            probability or 0.0,
        ),
    )


def _add(
    connection: Connection, job_id: int, counted: list[tuple[_Key, tuple[float, ...]]], sign: int
) -> None:
    sums: dict[_Key, list[float]] = defaultdict(lambda: [0] * len(_COUNTS))
    for key, values in counted:
        sums[key] = [old + sign * new for old, new in zip(sums[key], values, strict=True)]
    for key in sorted(sums):  # in one order everywhere: no two jobs wait for each other
        day, bundle, model = key
        summed = dict(zip(_COUNTS, sums[key], strict=True))
        statement = _INSERT[connection.dialect.name](ModelUsage).values(
            day=day, bundle_sha256=bundle, model=model, shard=job_id % SHARDS, **summed
        )
        added = {name: getattr(ModelUsage, name) + statement.excluded[name] for name in _COUNTS}
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["day", "bundle_sha256", "model", "shard"], set_=added
            )
        )
