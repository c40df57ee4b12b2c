"""Who did what, by the indexes of each ledger.

Where the parts of a view are not of one type PostgreSQL asks all rows first and looks for the
persons then; of one type, each part answers by its own small index.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_VIEW = Path(__file__).parents[1] / "views" / revision / "v_access.sql"


def upgrade() -> None:
    op.execute("DROP VIEW v_access")
    op.execute(sa.text(f"CREATE VIEW v_access AS {_VIEW.read_text(encoding='utf-8')}"))
