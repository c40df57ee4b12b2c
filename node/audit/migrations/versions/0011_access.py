"""Users, sessions, API tokens, logins under way, and the ledger of access."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from node.database import UtcDateTime

revision = "0011"
down_revision = "0010"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_VIEW = Path(__file__).parents[1] / "views" / revision / "v_access.sql"
_LEDGER = "ledger_access"


def upgrade() -> None:
    op.create_table(
        "user_account",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=256), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("password_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "web_session",
        sa.Column("id_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", _ID, nullable=True),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id_sha256"),
    )
    op.create_index("ix_web_session_user_id", "web_session", ["user_id"])
    op.create_index("ix_web_session_seen_at", "web_session", ["seen_at"])
    op.create_table(
        "api_token",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=64), nullable=False),
        sa.Column("created_by", sa.String(length=80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("secret_sha256"),
    )
    op.create_table(
        "oidc_login",
        sa.Column("state_sha256", sa.String(length=64), nullable=False),
        sa.Column("browser_sha256", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("verifier", sa.String(length=128), nullable=False),
        sa.Column("next_path", sa.String(length=1024), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("state_sha256"),
    )
    op.create_index("ix_oidc_login_begun_at", "oidc_login", ["begun_at"])
    _create_ledger()
    op.execute(sa.text("DROP VIEW v_access"))
    op.execute(sa.text(f"CREATE VIEW v_access AS {_VIEW.read_text(encoding='utf-8')}"))


def _create_ledger() -> None:
    """Create the append-only ledger, as the earlier schemas make them."""
    op.create_table(
        _LEDGER,
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("seal", sa.String(length=80), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("at", "subject", "study_instance_uid", "patient_id"):
        op.create_index(f"ix_{_LEDGER}_{column}", _LEDGER, [column])
    people = sa.text("actor LIKE 'person:%'")
    op.create_index(
        f"ix_{_LEDGER}_person", _LEDGER, ["at"], postgresql_where=people, sqlite_where=people
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {_LEDGER}_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON {_LEDGER} "
            "FOR EACH STATEMENT EXECUTE FUNCTION crdl_append_only()"
        )
        return
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {_LEDGER}_no_{act.lower()} BEFORE {act} ON {_LEDGER} "
            "BEGIN SELECT RAISE(ABORT, 'ledger rows are append-only'); END"
        )
    op.execute(
        f"CREATE TRIGGER {_LEDGER}_no_replace BEFORE INSERT ON {_LEDGER} "
        f"WHEN EXISTS (SELECT 1 FROM {_LEDGER} WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'ledger rows are append-only'); END"
    )
