"""How urgent a claimed workitem is."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column(
        "performed_workitem",
        sa.Column("priority", sa.String(16), nullable=False, server_default=""),
    )
