"""Indexes that a scrape of the metrics rests on."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("ix_job_state_updated_at", "job", ["state", "updated_at"])
    op.create_index("ix_finding_created_at", "finding", ["created_at"])
