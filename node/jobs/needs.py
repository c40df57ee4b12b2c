"""Which instances a job needs: they are kept until it expires, and named where they are gone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from node.audit.tables import Instance, JobInstance


def need(connection: Connection, job_id: int, uids: set[str]) -> None:
    """Note what a job needs, so that it is kept; what is noted already stays."""
    known = connection.scalars(
        select(JobInstance.sop_instance_uid).where(JobInstance.job_id == job_id)
    )
    new = [{"job_id": job_id, "sop_instance_uid": uid} for uid in sorted(uids - set(known))]
    if new:
        connection.execute(insert(JobInstance), new)


def expired(connection: Connection, missing: Sequence[str]) -> str:
    """Say which missing images were here and have expired; "" where none was."""
    rows = connection.execute(
        select(Instance.sop_instance_uid, func.max(Instance.expired_at).label("at"))
        .where(Instance.sop_instance_uid.in_(missing), Instance.standing == "expired")
        .group_by(Instance.sop_instance_uid)
        .order_by(Instance.sop_instance_uid)
    ).all()
    if not rows:
        return ""
    told = "; ".join(
        f"image {row.sop_instance_uid} expired on {row.at.date().isoformat()}: send it again"
        for row in rows
    )
    others = len(missing) - len(rows)
    return told + (f"; {others} other image(s) not here yet" if others else "")
