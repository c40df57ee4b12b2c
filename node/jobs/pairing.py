"""The database side of pairing: what an arrived instance changes, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Instance, Job, JobNeed
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.boundaries import passing
from node.case import Case, Pairing
from node.database import lock, read_only, utc_now
from node.jobs import reading, routing, states
from node.jobs.arriving import ANEW, pair_all
from node.jobs.engine import Enqueuer, Task
from node.jobs.fairness import take_turn
from node.jobs.fetching import fetching
from node.jobs.needs import expired, need
from node.jobs.pairing_question import SEGMENTATIONS, question_about, touched_by, wanted_by
from node.jobs.priority import ROUTINE, of_request, rank
from node.jobs.stages import Stages
from node.jobs.verified import keep_verdicts


@dataclass(frozen=True)
class Pairer:
    """Runs the tasks of the pairing queue."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer
    stages: Stages
    blobs: BlobStore

    def __call__(self, *arguments: int | str) -> None:
        """Pair what acknowledged instances make possible; see `arriving`."""
        passing("pairing-begun")
        pair_all(self._pair, arguments)
        passing("paired")

    def _pair(self, instance_id: int, *, anew: bool) -> None:
        heard = self._hear(instance_id)
        with self.database.begin() as connection:
            row = connection.execute(
                select(Instance.__table__).where(Instance.id == instance_id)
            ).one()
            # The study first, then the instance: a SEG of another study may refer to this image.
            lock(connection, row.study_instance_uid)
            lock(connection, row.sop_instance_uid)
            if row.standing != "current":
                return
            if row.sop_class_uid in SEGMENTATIONS:
                if anew:
                    self._look_again(connection, row)
                else:
                    self.pair_seg(connection, row.sop_instance_uid)
                return
            if heard is not None:
                self._take_in(connection, row, heard)
                return
            for seg_uid in touched_by(connection, row):
                self.pair_seg(connection, seg_uid)

    def _hear(self, instance_id: int) -> reading.Heard | None:
        """Parse a Structured Report before any lock is held; None for another instance."""
        with read_only(self.database) as connection:
            row = connection.execute(
                select(Instance.standing, Instance.sop_class_uid, Instance.blob_sha256).where(
                    Instance.id == instance_id
                )
            ).one()
        if row.standing != "current" or row.sop_class_uid not in reading.STRUCTURED_REPORTS:
            return None
        return reading.hear(self.stages.read, self.blobs.path(row.blob_sha256))

    def _take_in(self, connection: Connection, row: Row[Any], heard: reading.Heard) -> None:
        """Keep what a report says and assess anew what it speaks of."""
        news = reading.keep(connection, self.trail, row, heard)
        if heard.report is None:
            return
        if news:
            keep_verdicts(connection, self.trail, row, heard.report)
        waits = [
            self._assess_again(connection, seg_uid)
            for seg_uid in reading.concerned(connection, row.study_instance_uid)
        ]
        if any(waits):
            again = Task("pairing", f"pair:{row.id}:{uuid4()}", (row.id,), max(waits))
            self.enqueuer.enqueue(connection, again)

    def pair_seg(self, connection: Connection, seg_uid: str) -> None:
        """Decide about one SEG and change its job; the caller holds the study's lock."""
        job = latest_job(connection, seg_uid)
        if job is not None and job.state not in {"waiting", "held"}:
            return
        seg = current_instance(connection, seg_uid)
        if seg is None:
            return
        question = question_about(connection, seg)
        pairing = self.stages.pair(question)
        if job is None:
            job = new_job(connection, self.trail, seg, generation=1)
        need(connection, job.id, wanted_by(question.seg, question.assignment))
        self._apply(connection, job, seg, pairing)

    def _apply(
        self, connection: Connection, job: Row[Any], seg: Row[Any], pairing: Pairing
    ) -> None:
        connection.execute(delete(JobNeed).where(JobNeed.job_id == job.id))
        match pairing.state:
            case "ready":
                self._queue(connection, job, pairing.cases)
            case "waiting":
                needs = [{"job_id": job.id, "sop_instance_uid": uid} for uid in pairing.missing]
                connection.execute(insert(JobNeed), needs)
                reason = expired(connection, pairing.missing) or pairing.reason
                states.change(connection, self.trail, job, "waiting", reason)
                if (after_s := self.stages.fetch_after_s) is not None:
                    self.enqueuer.enqueue(connection, fetching(job.id, job.run, 0, after_s))
            case "pending":
                states.change(connection, self.trail, job, "waiting", pairing.reason)
                again = Task("pairing", f"pair:{seg.id}:{uuid4()}", (seg.id,), pairing.wait_s)
                self.enqueuer.enqueue(connection, again)
            case "held":
                states.change(connection, self.trail, job, "held", pairing.reason)
            case "ineligible":
                states.change(connection, self.trail, job, "refused", pairing.reason)
            case "companion":
                reason = f"lends its colour-flow mask to {pairing.reason}"
                states.change(connection, self.trail, job, "done", reason)
                self._assess_again(connection, pairing.reason)

    def _queue(self, connection: Connection, job: Row[Any], cases: Sequence[Case]) -> None:
        values = {"cases": [case.to_json() for case in cases]}
        need(connection, job.id, set().union(*(case.instances() for case in cases)))
        facts = routing.stored_facts(connection, job.seg_uid, cases)
        route = self.stages.route(facts)
        if route.rule:
            decided = {"skip": route.skip, "bundle": route.bundle, "priority": route.priority}
            routing.note(connection, self.trail, job, route, decided)
        if route.skip:
            reason = f"rule {route.rule}: {route.skip}"
            states.change(connection, self.trail, job, "refused", reason, cases=values)
            return
        requested = of_request(facts.values.get("requested_priority", ()))
        priority = route.priority or requested or ROUTINE
        sender, turn = take_turn(connection, job.seg_uid)
        states.change(
            connection,
            self.trail,
            job,
            "queued",
            cases=values,
            priority=priority,
            bundle=route.bundle,
            sender=sender,
            turn=turn,
        )
        for case in cases:
            self.trail.record(
                connection,
                "case",
                "paired",
                case.name,
                case.to_json(),
                study=job.study_instance_uid,
                patient=job.patient_id,
            )
            reading.applied(connection, self.trail, job, case)
        self.enqueuer.enqueue(connection, assessment(job.id, job.run, priority, turn=turn))

    def _look_again(self, connection: Connection, row: Row[Any]) -> None:
        wait_s = self._assess_again(connection, row.sop_instance_uid)
        if wait_s:
            again = Task("pairing", f"pair:{row.id}:{uuid4()}", (row.id, ANEW), wait_s)
            self.enqueuer.enqueue(connection, again)

    def _assess_again(self, connection: Connection, seg_uid: str) -> float:
        """A Doppler mask or a reading came late: a new generation of the SEG that it belongs to.

        Nothing happens where the cases are what they were. Returns the seconds after which to
        ask again, 0 for never.
        """
        job = latest_job(connection, seg_uid)
        seg = current_instance(connection, seg_uid)
        if job is None or seg is None:
            return 0.0
        if job.state in {"waiting", "held"}:
            self.pair_seg(connection, seg_uid)
            return 0.0
        pairing = self.stages.pair(question_about(connection, seg))
        known = tuple(Case.from_json(case) for case in job.cases["cases"])
        if pairing.state == "ready" and known != pairing.cases:
            later = new_job(connection, self.trail, seg, job.generation + 1)
            self._queue(connection, later, pairing.cases)
        return pairing.wait_s


def assessment(
    job_id: int, run: int, priority: str, attempt: int = 0, delay_s: float = 0.0, turn: int = 0
) -> Task:
    """Return the task that assesses a job; `run` counts a person's retries."""
    key = f"assess:{job_id}:{run}:{attempt}"
    return Task("inference", key, (job_id, run, attempt), delay_s, rank(priority, turn))


def latest_job(connection: Connection, seg_uid: str) -> Row[Any] | None:
    """Return the job of a SEG's latest generation."""
    query = select(Job.__table__).where(Job.seg_uid == seg_uid)
    return connection.execute(query.order_by(Job.generation.desc()).limit(1)).one_or_none()


def new_job(connection: Connection, trail: Trail, seg: Row[Any], generation: int) -> Row[Any]:
    """Create the job of a generation, waiting."""
    now = utc_now()
    job_id = connection.execute(
        insert(Job)
        .values(
            seg_uid=seg.sop_instance_uid,
            generation=generation,
            state="waiting",
            reason="",
            study_instance_uid=seg.study_instance_uid,
            patient_id=seg.patient_id,
            cases={"cases": []},
            run=0,
            created_at=now,
            updated_at=now,
            received_at=first_receipt(connection, seg.sop_instance_uid),
        )
        .returning(Job.id)
    ).scalar_one()
    need(connection, job_id, {seg.sop_instance_uid})
    trail.record(
        connection,
        "job",
        "created",
        states.subject(seg.sop_instance_uid, generation),
        {"job": job_id},
        study=seg.study_instance_uid,
        patient=seg.patient_id,
    )
    return states.find(connection, job_id)


def first_receipt(connection: Connection, sop_instance_uid: str) -> datetime | None:
    """Return when the first version of an instance came; a report's time is counted from then."""
    query = select(Instance.received_at).where(
        Instance.sop_instance_uid == sop_instance_uid, Instance.version == 1
    )
    return connection.scalar(query)


def current_instance(connection: Connection, sop_instance_uid: str) -> Row[Any] | None:
    """Return the current version of an instance."""
    query = select(Instance.__table__).where(
        Instance.sop_instance_uid == sop_instance_uid, Instance.standing == "current"
    )
    return connection.execute(query).one_or_none()


def latest_instance(connection: Connection, sop_instance_uid: str) -> Row[Any] | None:
    """Return the current version of an instance, or the last one where all have expired.

    For what its header says; the bytes of an expired one are gone.
    """
    query = select(Instance.__table__).where(
        Instance.sop_instance_uid == sop_instance_uid,
        Instance.standing.in_(("current", "expired")),
    )
    newest = query.order_by(Instance.standing == "expired", Instance.version.desc()).limit(1)
    return connection.execute(newest).one_or_none()
