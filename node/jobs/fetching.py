"""The database side of fetching: which images a waiting job misses, who was asked, what came."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Instance, JobNeed
from node.audit.trail import Trail
from node.database import read_only
from node.jobs import states
from node.jobs.edge import FetchAnswer, FetchQuestion
from node.jobs.engine import Enqueuer, Task
from node.jobs.stages import Stages

#: Seconds between an attempt and the next: about a week in all, and then the case only waits.
DELAYS_S = (10.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 21600.0, *(86400.0,) * 6)
_HOUR_S = 3600
_MINUTE_S = 60
_log = logging.getLogger(__name__)


def fetching(job_id: int, run: int, attempt: int = 0, delay_s: float = 0.0) -> Task:
    """Return the task that asks the sources for what a job misses."""
    return Task("fetch", f"fetch:{job_id}:{run}:{attempt}", (job_id, run, attempt), delay_s)


@dataclass(frozen=True)
class Fetcher:
    """Runs the tasks of the fetch queue.

    What comes goes through the inbox, whose own task pairs it: here nothing is paired.
    """

    database: Database
    trail: Trail
    enqueuer: Enqueuer
    stages: Stages

    def __call__(self, job_id: int, run: int, attempt: int) -> None:
        """Ask the sources once for what a waiting job still misses."""
        with self.database.begin() as connection:
            job = states.hold(connection, job_id)
            if job.state != "waiting" or job.run != run:
                return
            missing = _missing(connection, job_id)
        if not missing or self.stages.fetch is None:
            return
        question = FetchQuestion(job.study_instance_uid, missing)
        try:
            answers = self.stages.fetch(question)
        except Exception as error:  # noqa: BLE001 - the sender boundary: the attempt is repeated
            _log.exception("asking for the images of job %d failed", job_id)
            answers = (FetchAnswer("", f"{type(error).__name__}: {error}"),)
        self._note(job_id, run, attempt, missing, answers)

    def _note(
        self,
        job_id: int,
        run: int,
        attempt: int,
        missing: tuple[str, ...],
        answers: Sequence[FetchAnswer],
    ) -> None:
        with self.database.begin() as connection:
            job = states.hold(connection, job_id)
            came = _here(connection, missing)
            self.trail.record(
                connection,
                "job",
                "sources-asked",
                states.subject(job.seg_uid, job.generation),
                {
                    "job": job.id,
                    "attempt": attempt + 1,
                    "missing": list(missing),
                    "came": [uid for uid in missing if uid in came],
                    "sources": [{"name": one.source, "failure": one.failure} for one in answers],
                },
                study=job.study_instance_uid,
                patient=job.patient_id,
            )
            if job.state != "waiting" or job.run != run:
                return
            delay = DELAYS_S[attempt] if attempt < len(DELAYS_S) else None
            if delay is not None:
                # Also where all came: if pairing finds them, this task will find nothing to do.
                self.enqueuer.enqueue(connection, fetching(job_id, run, attempt + 1, delay))
            absent = len(missing) - len(came)
            if absent:
                reason = f"{absent} image(s) not here yet; {_told(answers)}; {_again(delay)}"
                states.change(connection, self.trail, job, "waiting", reason)


def _missing(connection: Connection, job_id: int) -> tuple[str, ...]:
    query = select(JobNeed.sop_instance_uid).where(JobNeed.job_id == job_id)
    return tuple(connection.scalars(query.order_by(JobNeed.sop_instance_uid)))


def here(database: Database, uids: Sequence[str]) -> set[str]:
    """Return those SOP Instance UIDs that the node has."""
    with read_only(database) as connection:
        return _here(connection, uids)


def _here(connection: Connection, uids: Sequence[str]) -> set[str]:
    query = select(Instance.sop_instance_uid).where(
        Instance.sop_instance_uid.in_(uids), Instance.standing == "current"
    )
    return set(connection.scalars(query))


def _told(answers: Sequence[FetchAnswer]) -> str:
    return "; ".join(one.failure or f"{one.source} was asked" for one in answers)


def _again(delay_s: float | None) -> str:
    if delay_s is None:
        return "the sources are not asked any more: send them"
    if delay_s >= _HOUR_S:
        return f"asked again in {delay_s / _HOUR_S:.0f} h"
    if delay_s >= _MINUTE_S:
        return f"asked again in {delay_s / _MINUTE_S:.0f} min"
    return f"asked again in {delay_s:.0f} s"
