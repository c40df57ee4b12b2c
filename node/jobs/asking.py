"""Earlier reports that an archive holds beside our own: asked for, merged, and audited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Report
from node.audit.trail import Trail
from node.jobs import states
from node.jobs.stages import AssessmentRequest, EarlierAnswer, EarlierQuestion, Prior

MOST_REPORTS = 5


def with_earlier(
    request: AssessmentRequest,
    ask: Callable[[EarlierQuestion], EarlierAnswer] | None,
    database: Database,
    trail: Trail,
) -> AssessmentRequest:
    """Return the request with what the archive knows beside our own database.

    No transaction is open while the archive is asked.

    Args:
        request: Its priors are those of our own database.
        ask: The stage; None asks nobody.
        database: For what became of the reports that came back, and the ledger.
        trail: Of the worker.
    """
    header = request.instances[request.seg_uid].header
    if ask is None or not header.patient_id:
        return request
    answer = ask(
        EarlierQuestion(
            header.patient_id,
            header.issuer_of_patient_id,
            header.study_instance_uid,
            header.study_date,
        )
    )
    with database.begin() as connection:
        new = _unknown(connection, answer.priors)
        trail.record(
            connection,
            "job",
            "priors-asked",
            states.subject(request.seg_uid, request.generation),
            {
                "destination": answer.destination,
                "found": list(dict.fromkeys(one.sop_instance_uid for one in new)),
                "failure": answer.failure,
            },
            study=header.study_instance_uid,
            patient=header.patient_id,
        )
    return replace(request, priors=latest((*request.priors, *new)))


def latest(priors: Sequence[Prior]) -> tuple[Prior, ...]:
    """Return what the latest reports said, newest first, in the order of each report."""
    dates = {one.sop_instance_uid: one.date for one in priors}
    # The sort is stable: of reports of one day, those that stood first come first.
    order = sorted(dates, key=lambda uid: dates[uid], reverse=True)[:MOST_REPORTS]
    return tuple(one for uid in order for one in priors if one.sop_instance_uid == uid)


def _unknown(connection: Connection, priors: Sequence[Prior]) -> list[Prior]:
    """Leave out what we reported ourselves: our database says what it said and if it stands."""
    uids = {one.sop_instance_uid for one in priors}
    ours = set(
        connection.scalars(select(Report.sop_instance_uid).where(Report.sop_instance_uid.in_(uids)))
    )
    return [one for one in priors if one.sop_instance_uid not in ours]
