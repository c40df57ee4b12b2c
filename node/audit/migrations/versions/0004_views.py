"""Views that an admin asks in SQL: cases, timelines, turnaround, failures, models, access."""

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

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


def upgrade() -> None:
    spelled = _SPELLED[op.get_bind().dialect.name]
    for path in sorted(_FOLDER.glob("*.sql")):
        body = re.sub(
            r"\{(\w+):([^}]+)\}",
            lambda found: spelled[found[1]].format(*found[2].split(":")),
            path.read_text(encoding="utf-8"),
        )
        op.execute(sa.text(f"CREATE VIEW {path.stem} AS {body}"))
