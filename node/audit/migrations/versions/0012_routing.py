"""What routing rules decided of a job: how urgent it is, and which bundle answers."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column(
        "job",
        sa.Column("priority", sa.String(length=8), nullable=False, server_default="routine"),
    )
    op.add_column("job", sa.Column("bundle", sa.Text(), nullable=False, server_default=""))
