"""Sealed ledger rows and the chain that fixes them."""

import sqlalchemy as sa
from alembic import op

from node.database import UtcDateTime

revision = "0003"
down_revision = "0002"

LEDGERS = (
    "system",
    "association",
    "instance",
    "case",
    "job",
    "finding",
    "report",
    "delivery",
    "reading",
)


def upgrade() -> None:
    for name in LEDGERS:
        seal = sa.Column("seal", sa.String(length=80), nullable=False, server_default="")
        op.add_column(f"ledger_{name}", seal)
    op.create_table(
        "chain",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            autoincrement=False,
        ),
        sa.Column("ledger", sa.String(length=16), nullable=False),
        sa.Column("row_ids", sa.LargeBinary(), nullable=False),
        sa.Column("row_hashes", sa.LargeBinary(), nullable=False),
        sa.Column("previous_sha256", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER chain_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON chain "
            "FOR EACH STATEMENT EXECUTE FUNCTION crdl_append_only()"
        )
        return
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER chain_no_{act.lower()} BEFORE {act} ON chain "
            "BEGIN SELECT RAISE(ABORT, 'ledger rows are append-only'); END"
        )
    op.execute(
        "CREATE TRIGGER chain_no_replace BEFORE INSERT ON chain "
        "WHEN EXISTS (SELECT 1 FROM chain WHERE position = NEW.position) "
        "BEGIN SELECT RAISE(ABORT, 'ledger rows are append-only'); END"
    )
