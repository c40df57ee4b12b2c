"""The doctor on the database and what keeps it: schema, load, clock, backup. It migrates nothing.

A doctor that is run beside an old node, before an upgrade, must not upgrade its database.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, func, select, text
from sqlalchemy.engine import make_url

from node.audit import schema
from node.audit.tables import Job, LedgerSystem
from node.config import Settings
from node.database import open_engine, read_only, server_now, utc_now
from node.service.check import Check, Verdict

LONG_QUEUE: Final = 2000
"""Studies an hour above which PostgreSQL is recommended: about a third of what SQLite sustained
on 2 cores (40 studies sent at once were proven in Orthanc after 25 s)."""

_SKEW_WARNING_S: Final = 2.0
_SKEW_FAILED_S: Final = 60.0
_LOOKED_BACK: Final = timedelta(days=7)


def open_current(settings: Settings) -> Engine | None:
    """Open the database if it has this version's schema; None otherwise, and nothing is made."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        return None
    database = open_engine(settings.database_url)
    if schema.revision(database) == schema.known_revisions()[-1]:
        return database
    database.dispose()
    return None


def check_database(settings: Settings) -> Iterator[Check]:
    """Say which database it is, whether it is of this version, and whether it suits the load."""
    url = make_url(settings.database_url)
    kind = url.get_backend_name()
    if kind == "sqlite" and not Path(str(url.database)).is_file():
        yield Check("database", "ok", f"{kind}, made at the first start")
        return
    database = open_engine(settings.database_url)
    try:
        found, newest = schema.revision(database), schema.known_revisions()[-1]
        if found is None:
            yield Check("database", "ok", f"{kind}, empty: filled at the first start")
        elif found not in schema.known_revisions():
            yield Check("database", "failed", f"schema {found} is of a newer version: upgrade")
        elif found != newest:
            yield Check(
                "database",
                "warning",
                f"{kind}, schema {found}: the next start migrates it to {newest}; back up before",
            )
        else:
            yield Check("database", "ok", f"{kind}, schema {found}")
            yield from _load(database)
            yield from _versions(database)
    finally:
        database.dispose()


def _load(database: Engine) -> Iterator[Check]:
    if database.dialect.name != "sqlite":
        return
    with read_only(database) as connection:
        hour = func.strftime("%Y-%m-%d %H", Job.created_at)
        query = (
            select(func.count())
            .where(Job.created_at >= utc_now() - _LOOKED_BACK)
            .group_by(hour)
            .order_by(func.count().desc())
            .limit(1)
        )
        busiest = connection.scalar(query) or 0
    verdict: Verdict = "warning" if busiest > LONG_QUEUE else "ok"
    yield Check(
        "load",
        verdict,
        f"at most {busiest} studies in an hour of the last 7 days; SQLite serves one machine, "
        f"above {LONG_QUEUE} an hour use PostgreSQL",
    )


def _versions(database: Engine) -> Iterator[Check]:
    """Warn of tasks that only processes of another version would run."""
    from node.jobs.dbos_engine import APPLICATION_VERSION, unfinished_by_version  # noqa: PLC0415

    tasks = unfinished_by_version(database)
    others = {version: n for version, n in tasks.items() if version != APPLICATION_VERSION}
    if others:
        told = ", ".join(f"{count} of version {version}" for version, count in others.items())
        yield Check(
            "queues",
            "warning",
            f"tasks of another version wait: {told}; this one ({APPLICATION_VERSION}) leaves them: "
            "run a worker of that version until they are done",
        )
    else:
        yield Check("queues", "ok", f"{sum(tasks.values())} tasks wait or run")


def check_clock(settings: Settings) -> Iterator[Check]:
    """Compare our clock with the database's and with the newest row of the record."""
    database = open_current(settings)
    if database is None:
        return
    try:
        with read_only(database) as connection:
            before = utc_now()
            theirs = server_now(connection)
            now = utc_now()
            newest = connection.scalar(select(func.max(LedgerSystem.at)))
            waited = connection.scalar(text("SELECT 1"))
        skew = (theirs - before - (now - before) / 2).total_seconds() if waited else 0.0
        verdict: Verdict = "ok"
        if abs(skew) > _SKEW_WARNING_S:
            verdict = "failed" if abs(skew) > _SKEW_FAILED_S else "warning"
        yield Check("clock", verdict, f"{abs(skew):.1f} s from the database's clock")
        ahead = 0.0 if newest is None else (newest - now).total_seconds()
        if ahead > _SKEW_WARNING_S:
            yield Check(
                "clock",
                "failed",
                f"the record ends {ahead:.0f} s in the future: the clock was set back; "
                "synchronise it (NTP)",
            )
    finally:
        database.dispose()


def check_backup(settings: Settings) -> Iterator[Check]:
    """Say how old the last backup is."""
    limit = settings.backup.maximum_age_hours
    database = open_current(settings) if limit else None
    if database is None:
        return
    try:
        with read_only(database) as connection:
            # By number, from the end: the record only grows.
            query = select(LedgerSystem.at).where(LedgerSystem.event == "backed-up")
            last = connection.scalar(query.order_by(LedgerSystem.id.desc()).limit(1))
    finally:
        database.dispose()
    if last is None:
        yield Check("backup", "warning", "there has been none: crdl backup --to FOLDER")
        return
    hours = (utc_now() - last).total_seconds() / 3600
    verdict: Verdict = "ok" if hours <= limit else "warning"
    yield Check("backup", verdict, f"the last is {hours:.1f} h old, at most {limit} h are expected")
