"""A report object becomes a row; its bytes are in the blob store before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert

from node.audit.tables import Report
from node.audit.trail import Trail
from node.blobs import Blob
from node.database import utc_now
from node.jobs.stages import ReportObject


def store_report(
    connection: Connection, trail: Trail, job: Row[Any], made: ReportObject, blob: Blob
) -> int:
    """Write an object of a job's report, work row and ledger row; return its row's id.

    Args:
        connection: The transaction.
        trail: The ledger.
        job: Whose report it is.
        made: The object; its kind is unique within the job.
        blob: Where its bytes lie.
    """
    report_id = connection.execute(
        insert(Report)
        .values(
            job_id=job.id,
            kind=made.kind,
            sop_class_uid=made.sop_class_uid,
            sop_instance_uid=made.sop_instance_uid,
            series_instance_uid=made.series_instance_uid,
            study_instance_uid=made.study_instance_uid,
            blob_sha256=blob.sha256,
            size=blob.size,
            created_at=utc_now(),
        )
        .returning(Report.id)
    ).scalar_one()
    trail.record(
        connection,
        "report",
        "built",
        made.sop_instance_uid,
        {"kind": made.kind, "sha256": blob.sha256, "job": job.id},
        study=job.study_instance_uid,
        patient=job.patient_id,
    )
    return report_id
