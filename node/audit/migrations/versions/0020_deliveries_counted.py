"""Deliveries are counted by state and destination at each scrape of the metrics, from one index."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_index("ix_delivery_state_destination", "delivery", ["state", "destination"])
    op.drop_index("ix_delivery_state", "delivery")
