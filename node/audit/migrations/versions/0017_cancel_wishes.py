"""That somebody wants a workitem cancelled which this node performs."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column(
        "performed_workitem",
        sa.Column("cancel_wish", sa.Text(), nullable=False, server_default=""),
    )
