"""Which instances a job needs, what has expired, and who was asked for storage commitment."""

import json
import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from node.database import UtcDateTime

revision = "0006"
down_revision = "0005"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ROWS = 500
_UID = re.compile(r"[0-9.]{1,64}")


def upgrade() -> None:
    op.add_column("instance", sa.Column("expired_at", UtcDateTime(), nullable=True))
    op.add_column("job", sa.Column("expired_at", UtcDateTime(), nullable=True))
    op.add_column(
        "delivery",
        sa.Column("absent", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_instance_blob_sha256", "instance", ["blob_sha256"])
    op.create_index("ix_report_blob_sha256", "report", ["blob_sha256"])
    op.create_index("ix_job_expired_at_updated_at", "job", ["expired_at", "updated_at"])
    op.create_table(
        "commitment",
        sa.Column("transaction_root", sa.String(length=64), nullable=False),
        sa.Column("delivery_id", _ID, nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("transaction_root", "delivery_id"),
    )
    op.create_table(
        "job_instance",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "sop_instance_uid"),
    )
    op.create_index("ix_job_instance_sop_instance_uid", "job_instance", ["sop_instance_uid"])
    _fill()


def _fill() -> None:
    """Name for every job its SEG, what its cases use, and what its SEG refers to."""
    connection = op.get_bind()
    jobs = connection.execute(
        sa.text(
            "SELECT job.id, job.seg_uid, job.cases, instance.header FROM job "
            "LEFT JOIN instance ON instance.sop_instance_uid = job.seg_uid "
            "AND instance.standing = 'current' ORDER BY job.id"
        )
    )
    insert = sa.text("INSERT INTO job_instance (job_id, sop_instance_uid) VALUES (:job, :uid)")
    known: set[tuple[int, str]] = set()
    for rows in iter(lambda: jobs.fetchmany(_ROWS), []):
        found = {
            (job, uid)
            for job, seg, *documents in rows
            for uid in {seg, *(uid for document in documents for uid in _uids(_plain(document)))}
        } - known
        known = found
        if found:
            connection.execute(insert, [{"job": job, "uid": uid} for job, uid in sorted(found)])


def _plain(document: Any) -> Any:  # noqa: ANN401 - JSON
    """SQLite gives JSON as text, PostgreSQL as values."""
    return json.loads(document) if isinstance(document, str) else document


def _uids(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield every SOP Instance UID that stands anywhere in a case or a header."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key in {"sop_instance_uid", "seg_uid"} and isinstance(one, str) and one:
                yield one
            else:
                yield from _uids(one)
    elif isinstance(value, list):
        # `doppler` holds [SEG, segment, frame]
        if value and isinstance(value[0], str) and _UID.fullmatch(value[0]):
            yield value[0]
        for one in value:
            yield from _uids(one)
