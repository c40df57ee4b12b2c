"""What the shadow bundle said of a job: kept beside the findings, in the same transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert

from node.audit.tables import ShadowFinding
from node.audit.trail import Trail
from node.database import utc_now
from node.jobs import states
from node.jobs.stages import Assessment


def keep(connection: Connection, trail: Trail, job: Row[Any], made: Assessment) -> None:
    """Store the shadow's findings, or why there are none; a retried job's are replaced.

    Args:
        connection: The transaction that stores the job's own findings.
        trail: The worker's.
        job: The row of the job.
        made: What came of it.
    """
    if made.shadow_failure:
        trail.record(
            connection,
            "job",
            "shadow-failed",
            states.subject(job.seg_uid, job.generation),
            {"job": job.id, "reason": made.shadow_failure},
            study=job.study_instance_uid,
            patient=job.patient_id,
        )
    connection.execute(delete(ShadowFinding).where(ShadowFinding.job_id == job.id))
    for finding in made.shadow:
        said = finding.to_json()
        connection.execute(
            insert(ShadowFinding).values(
                job_id=job.id,
                case_name=finding.case,
                bundle_sha256=finding.bundle.sha256,
                status=finding.status,
                probability=finding.probability,
                malignancy=finding.malignancy,
                finding=said,
                created_at=utc_now(),
            )
        )
        trail.record(
            connection,
            "finding",
            "shadowed",
            finding.case,
            said,
            study=job.study_instance_uid,
            patient=job.patient_id,
        )
