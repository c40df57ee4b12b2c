"""What keeps the questions of the runbook quick over a million studies.

A job carries its own times, usage is counted as findings come, and the few rows that a question is
about (a person's acts, refusals, conflicts) have indexes of their own.
"""

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import op

from node.database import UtcDateTime

revision = "0009"
down_revision = "0008"

_FOLDER = Path(__file__).parents[1] / "views" / revision

# What the two databases spell differently: {seconds:FROM:TO} and {day:TIME}.
_SPELLED = {
    "postgresql": {
        "seconds": "round(extract(epoch FROM {1} - {0})::numeric, 3)",
        "day": "({0} AT TIME ZONE 'UTC')::date",
    },
    "sqlite": {
        "seconds": "round((julianday({1}) - julianday({0})) * 86400, 3)",
        "day": "date({0})",
    },
}
_PEOPLE = ("system", "instance", "case", "job", "finding", "report", "delivery", "reading")


def upgrade() -> None:
    _time_jobs()
    _count_usage()
    for name in _PEOPLE:
        _few(f"ix_ledger_{name}_person", f"ledger_{name}", "at", "actor LIKE 'person:%'")
    _few(
        "ix_ledger_association_person",
        "ledger_association",
        "at",
        "coalesce(detail ->> 'calling_ae', actor) LIKE 'person:%'",
    )
    _few("ix_ledger_association_rejected", "ledger_association", "at", "event = 'rejected'")
    _few("ix_ledger_instance_refused", "ledger_instance", "at", "event = 'refused'")
    _few("ix_instance_conflict", "instance", "received_at", "standing = 'conflict'")
    _few("ix_finding_refused", "finding", "created_at", "status = 'refused'")
    for path in sorted(_FOLDER.glob("*.sql")):
        op.execute(f"DROP VIEW {path.stem}")
        op.execute(sa.text(f"CREATE VIEW {path.stem} AS {_spelled(path.read_text('utf-8'))}"))


def _spelled(body: str) -> str:
    words = _SPELLED[op.get_bind().dialect.name]
    return re.sub(
        r"\{(\w+):([^}]+)\}", lambda found: words[found[1]].format(*found[2].split(":")), body
    )


def _few(name: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, [column], postgresql_where=where, sqlite_where=where)


def _time_jobs() -> None:
    for column in ("received_at", "assessed_at", "proven_at"):
        op.add_column("job", sa.Column(column, UtcDateTime(), nullable=True))
    op.add_column("job", sa.Column("total_s", sa.Double(), nullable=True))
    op.execute(
        "UPDATE job SET "
        "received_at = (SELECT received_at FROM instance AS i "
        "WHERE i.sop_instance_uid = job.seg_uid AND i.version = 1), "
        "assessed_at = (SELECT min(created_at) FROM finding AS f WHERE f.job_id = job.id), "
        "proven_at = (SELECT max(updated_at) FROM delivery AS d WHERE d.job_id = job.id "
        "HAVING sum(CASE WHEN state = 'proven' THEN 0 ELSE 1 END) = 0)"
    )
    op.execute(f"UPDATE job SET total_s = {_spelled('{seconds:received_at:proven_at}')}")
    proven = "proven_at IS NOT NULL"
    where = {"postgresql_where": sa.text(proven), "sqlite_where": sa.text(proven)}
    op.create_index("ix_job_received_at_total_s", "job", ["received_at", "total_s"], **where)
    op.create_index("ix_job_total_s", "job", ["total_s"], **where)


def _count_usage() -> None:
    op.create_table(
        "model_usage",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("bundle_sha256", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("cases", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("malignant", sa.BigInteger(), nullable=False),
        sa.Column("scored", sa.BigInteger(), nullable=False),
        sa.Column("probabilities", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("day", "bundle_sha256", "model", "shard"),
    )
    day = _spelled("{day:created_at}")
    op.execute(
        "INSERT INTO model_usage "
        f"SELECT {day}, bundle_sha256, coalesce(finding ->> 'model', ''), 0, count(*), "
        "sum(CASE WHEN status = 'refused' THEN 1 ELSE 0 END), "
        "sum(CASE WHEN malignancy = 'malignant' THEN 1 ELSE 0 END), "
        "count(probability), coalesce(sum(probability), 0) "
        f"FROM finding GROUP BY {day}, bundle_sha256, coalesce(finding ->> 'model', '')"
    )
