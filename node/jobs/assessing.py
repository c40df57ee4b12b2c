"""The database side of an assessment: the request from our tables, the results into them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.engine import Engine as Database

from node.audit.tables import (
    FindingRow,
    Installation,
    Instance,
    LedgerJob,
)
from node.audit.trail import Trail
from node.blobs import Blob, BlobStore
from node.boundaries import passing
from node.case import Case, CaseResult, InstanceHeader
from node.database import utc_now
from node.jobs import dispatching, routing, shadowing, states, superseding, usage
from node.jobs.asking import with_earlier
from node.jobs.dispatching import delivery
from node.jobs.engine import Enqueuer
from node.jobs.pairing import assessment
from node.jobs.priors import priors_of
from node.jobs.report_rows import store_report
from node.jobs.retry import delay_after_deaths, next_delay
from node.jobs.stages import (
    Assessment,
    AssessmentRequest,
    Rejection,
    ReportObject,
    Stages,
    StoredInstance,
    Wish,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assessor:
    """Runs the tasks of the inference queue."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer
    stages: Stages
    blobs: BlobStore

    @property
    def reject(self) -> Callable[[Rejection], ReportObject]:
        """The stage that writes a rejection note."""
        return self.stages.reject

    def __call__(self, job_id: int, run: int, attempt: int) -> None:
        """Assess one job and put its report on the way."""
        request = self._begin(job_id, run, attempt)
        if request is None:
            return
        passing("assessment-begun")
        try:
            earlier = self.stages.earlier
            request = with_earlier(request, earlier, self.database, self.trail)
            made = self.stages.assess(request)
            passing("assessed")
            blobs = [self.blobs.put(thing.data) for thing in made.objects]
        except Exception as error:  # noqa: BLE001 - the worker boundary: the job goes on
            _log.exception("job %d failed at attempt %d", job_id, attempt)
            self._fail(job_id, run, attempt, error)
            return
        passing("report-stored")
        self._finish(job_id, run, made, blobs)
        passing("report-committed")

    def _begin(self, job_id: int, run: int, attempt: int) -> AssessmentRequest | None:
        with self.database.begin() as connection:
            job = states.hold(connection, job_id)
            if job.state not in {"queued", "running"} or job.run != run:
                return None  # cancelled, retried by a person, or finished before a kill
            if job.state == "running" and not self._may_resume(connection, job, attempt):
                return None
            states.change(connection, self.trail, job, "running")
            cases = tuple(Case.from_json(case) for case in job.cases["cases"])
            installation = connection.scalar(select(Installation.uid))
            return AssessmentRequest(
                installation_uid=str(installation),
                seg_uid=job.seg_uid,
                generation=job.generation,
                cases=cases,
                instances=self._instances(connection, job.seg_uid, cases),
                predecessor=superseding.predecessor(connection, job),
                when=job.created_at,
                priors=priors_of(connection, job),
                bundle=job.bundle,
            )

    def _may_resume(self, connection: Connection, job: Row[Any], attempt: int) -> bool:
        """Note that this job was begun before and not finished; wait or give up if that goes on."""
        subject = states.subject(job.seg_uid, job.generation)
        earlier = connection.scalars(
            select(LedgerJob.detail).where(
                LedgerJob.subject == subject, LedgerJob.event == "resumed"
            )
        )
        times = 1 + sum(detail["run"] == job.run for detail in earlier)
        self.trail.record(
            connection,
            "job",
            "resumed",
            subject,
            {"job": job.id, "run": job.run, "times": times},
            study=job.study_instance_uid,
            patient=job.patient_id,
        )
        delay = delay_after_deaths(times)
        if delay == 0.0:
            return True
        reason = f"{times} assessments of it were cut off: workers died"
        self._again(connection, job, attempt, delay, reason)
        return False

    def _again(
        self, connection: Connection, job: Row[Any], attempt: int, delay: float | None, reason: str
    ) -> None:
        """Put the job back into its queue; where there is no delay it is given up."""
        states.change(connection, self.trail, job, "dead" if delay is None else "queued", reason)
        if delay is not None:
            again = assessment(job.id, job.run, job.priority, attempt + 1, delay, job.turn)
            self.enqueuer.enqueue(connection, again)

    def _instances(
        self, connection: Connection, seg_uid: str, cases: Sequence[Case]
    ) -> dict[str, StoredInstance]:
        uids = {seg_uid}.union(*(case.instances() for case in cases))
        rows = connection.execute(
            select(Instance.sop_instance_uid, Instance.header, Instance.blob_sha256).where(
                Instance.standing == "current", Instance.sop_instance_uid.in_(uids)
            )
        )
        return {
            row.sop_instance_uid: StoredInstance(
                InstanceHeader.from_json(row.header), self.blobs.path(row.blob_sha256)
            )
            for row in rows
        }

    def _fail(self, job_id: int, run: int, attempt: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        with self.database.begin() as connection:
            job = states.hold(connection, job_id)
            if job.state != "running" or job.run != run:
                return
            self._again(connection, job, attempt, next_delay(attempt), reason)

    def _finish(self, job_id: int, run: int, made: Assessment, blobs: Sequence[Blob]) -> None:
        with self.database.begin() as connection:
            job = states.hold(connection, job_id)
            if job.state != "running" or job.run != run:
                return  # cancelled while it ran, or finished by a second executor of the task
            now = utc_now()
            for result in made.results:
                self._store_finding(connection, job, result.finding.to_json(), now)
                self._record_inputs(connection, job, result)
                if result.evidence.device_note:
                    self.trail.record(
                        connection,
                        "finding",
                        "device-fallback",
                        result.case.name,
                        {"device": result.finding.device, "note": result.evidence.device_note},
                        study=job.study_instance_uid,
                        patient=job.patient_id,
                    )
            findings = ((now, result.finding.to_json()) for result in made.results)
            usage.count(connection, job.id, findings)
            shadowing.keep(connection, self.trail, job, made)
            ids = {
                thing.kind: store_report(connection, self.trail, job, thing, blob)
                for thing, blob in zip(made.objects, blobs, strict=True)
            }
            refused = all(result.finding.status == "refused" for result in made.results)
            if ids and self._dispatch(connection, job, ids, now, refused=refused):
                return
            reason = "" if ids else made.results[0].finding.refusal.text  # type: ignore[union-attr]
            state: states.State = "refused" if refused else "done"
            states.change(connection, self.trail, job, state, reason, assessed_at=now)

    def _store_finding(
        self, connection: Connection, job: Row[Any], finding: dict[str, Any], now: datetime
    ) -> None:
        refusal = finding["refusal"]
        connection.execute(
            insert(FindingRow).values(
                job_id=job.id,
                case_name=finding["case"],
                status=finding["status"],
                probability=finding["probability"],
                malignancy=finding["class"],
                refusal_code=None if refusal is None else refusal["code"],
                bundle_sha256=finding["bundle"]["sha256"],
                finding=finding,
                created_at=now,
            )
        )
        self.trail.record(
            connection,
            "finding",
            finding["status"],
            finding["case"],
            finding,
            study=job.study_instance_uid,
            patient=job.patient_id,
        )

    def _record_inputs(self, connection: Connection, job: Row[Any], result: CaseResult) -> None:
        """Note the numbers that the model saw: what drifts can be told from them alone."""
        evidence = result.evidence
        if not evidence.inputs:
            return
        self.trail.record(
            connection,
            "finding",
            "inputs",
            result.case.name,
            {
                "job": job.id,
                "model": result.finding.model,
                "out_of_distribution": evidence.out_of_distribution,
                "prior_shift": evidence.prior_shift,
                "inputs": dict(evidence.inputs),
            },
            study=job.study_instance_uid,
            patient=job.patient_id,
        )

    def _dispatch(
        self,
        connection: Connection,
        job: Row[Any],
        ids: dict[str, int],
        now: datetime,
        *,
        refused: bool,
    ) -> bool:
        """Put the report on its way to whoever wants it; tell whether anybody does."""
        wishes = [w for w in self.stages.destinations if w.refusals or not refused]
        wishes = self._route(connection, job, wishes)
        superseding.supersede(self, connection, job, wishes)
        if not wishes:
            return False
        states.change(connection, self.trail, job, "delivering", assessed_at=now)
        for wish in wishes:
            wanted = [report_id for kind, report_id in ids.items() if wish.takes(kind)]
            dispatching.put(connection, job.id, wish.name, wanted)
            self.enqueuer.enqueue(connection, delivery(job.id, job.run, wish.name))
        return True

    def _route(self, connection: Connection, job: Row[Any], wishes: list[Wish]) -> list[Wish]:
        """Return what the rules leave of the wishes, now that the findings are known."""
        cases = [Case.from_json(case) for case in job.cases["cases"]]
        query = select(FindingRow.finding).where(FindingRow.job_id == job.id)
        findings = connection.scalars(query.order_by(FindingRow.id)).all()
        facts = routing.stored_facts(connection, job.seg_uid, cases)
        route = self.stages.route(routing.with_results(facts, findings))
        if route.rule:
            lists = {"destinations": route.destinations, "companions": route.companions}
            decided = {name: list(told) for name, told in lists.items() if told is not None}
            routing.note(connection, self.trail, job, route, decided)
        return routing.routed(wishes, route)
