"""Whose turn a job is among those of other senders, and the jobs that changed last."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column(
        "job", sa.Column("sender", sa.String(length=80), nullable=False, server_default="")
    )
    op.add_column("job", sa.Column("turn", sa.Integer(), nullable=False, server_default="0"))
    active = sa.text("state IN ('queued', 'running')")
    where = {"postgresql_where": active, "sqlite_where": active}
    op.create_index("ix_job_sender_turn", "job", ["sender", "turn"], **where)
    op.create_index("ix_job_turn", "job", ["turn"], **where)
    op.create_index("ix_job_updated_at", "job", ["updated_at"])
