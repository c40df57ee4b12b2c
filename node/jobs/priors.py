"""What our earlier reports said about the patient: from our own tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from node.audit.tables import FindingRow, Job, LedgerFinding, Report, Withdrawal
from node.jobs.asking import latest
from node.jobs.pairing import latest_instance
from node.jobs.stages import Prior

_DA_LENGTH = 8  # PS3.5 section 6.2


def priors_of(connection: Connection, job: Row[Any]) -> tuple[Prior, ...]:
    """Return what the latest reports said in the patient's earlier studies, newest first.

    The same patient has the same Patient ID and issuer; one without an ID is nobody's. Reports
    that were withdrawn or superseded do not count. Whether two lesions are the same is for the
    report to decide, by tracking UID.
    """
    own = latest_instance(connection, job.seg_uid)
    if not job.patient_id or own is None:
        return ()
    today = str(own.header.get("study_date") or "")
    rows = connection.execute(
        select(
            Report.sop_instance_uid,
            Report.created_at,
            Job.id.label("job_id"),
            Job.seg_uid,
            Job.cases,
            FindingRow.case_name,
            FindingRow.finding,
        )
        .join(Job, Job.id == Report.job_id)
        .join(FindingRow, FindingRow.job_id == Job.id)
        .where(
            Job.patient_id == job.patient_id,
            Job.study_instance_uid != job.study_instance_uid,
            Report.kind == "sr",
            FindingRow.status == "assessed",
            Report.id.not_in(select(Withdrawal.report_id)),
        )
        .order_by(Report.id.desc(), FindingRow.id)
    ).all()
    found = []
    for row in rows:
        seg = latest_instance(connection, row.seg_uid)
        if seg is None or _issuer(seg) != _issuer(own):
            continue
        day = str(seg.header.get("study_date") or "")
        if today and day > today:
            continue  # it came in earlier and is of later
        found.append(_prior(connection, row, day))
    return latest(found)


def _prior(connection: Connection, row: Row[Any], day: str) -> Prior:
    finding = row.finding
    diameter = finding["semantic"].get("maximum_diameter") or {}
    dated = len(day) == _DA_LENGTH
    cases = {case["name"]: case for case in row.cases["cases"]}
    return Prior(
        sop_instance_uid=row.sop_instance_uid,
        tracking_uid=cases.get(row.case_name, {}).get("tracking_uid", ""),
        date=f"{day[:4]}-{day[4:6]}-{day[6:]}" if dated else row.created_at.date().isoformat(),
        probability=finding["probability"],
        diameter_mm=diameter.get("value"),
        bundle_name=finding["bundle"]["name"],
        bundle_version=finding["bundle"]["version"],
        prior_shift=_prior_shift(connection, row),
    )


def _prior_shift(connection: Connection, row: Row[Any]) -> float | None:
    """The finding does not hold it; the ledger's row of what the model saw does."""
    details = connection.scalars(
        select(LedgerFinding.detail).where(
            LedgerFinding.subject == row.case_name, LedgerFinding.event == "inputs"
        )
    )
    return next((d.get("prior_shift") for d in details if d.get("job") == row.job_id), None)


def _issuer(instance: Row[Any]) -> str:
    return str(instance.header.get("issuer_of_patient_id") or "")
