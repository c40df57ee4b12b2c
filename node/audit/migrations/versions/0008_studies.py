"""One row a study, written by the database itself when an instance is kept.

A list of studies by patient, accession number, date or arrival must not read every instance. The
row is made by a trigger, so that every way in makes it. It takes no lock on a study that is known
and unchanged: intake and pairing of one study stay side by side.
"""

import sqlalchemy as sa
from alembic import op

from node.database import UtcDateTime

revision = "0008"
down_revision = "0007"

_TAKEN = {  # column: what an instance says of it
    "patient_id": "coalesce({row}.patient_id, '')",
    "patient_name": "coalesce({row}.header ->> 'patient_name', '')",
    "name_key": "lower(replace(coalesce({row}.header ->> 'patient_name', ''), '^', ' '))",
    "accession_number": "coalesce({row}.header ->> 'accession_number', '')",
    "study_date": "coalesce({row}.header ->> 'study_date', '')",
    "description": "coalesce({row}.header ->> 'study_description', '')",
}
_NO_STUDY = "('own', 'conflict', 'duplicate')"


def upgrade() -> None:
    by_bytes = sa.String(length=324).with_variant(
        sa.String(length=324, collation="C"), "postgresql"
    )
    op.create_table(
        "study",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("patient_name", sa.String(length=324), nullable=False),
        sa.Column("name_key", by_bytes, nullable=False),
        sa.Column("accession_number", sa.String(length=64), nullable=False),
        sa.Column("study_date", sa.String(length=16), nullable=False),
        sa.Column("description", sa.String(length=64), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("study_instance_uid"),
    )
    op.create_index("ix_study_received_at", "study", ["received_at", "study_instance_uid"])
    op.create_index("ix_study_study_date", "study", ["study_date", "study_instance_uid"])
    op.create_index("ix_study_patient_id", "study", ["patient_id"])
    op.create_index("ix_study_name_key", "study", ["name_key"])
    op.create_index("ix_study_accession_number", "study", ["accession_number"])
    _fill()
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION study_of_instance() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_made()}; {_changed()}; RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER study_of_instance AFTER INSERT ON instance FOR EACH ROW "
            f"WHEN (NEW.standing NOT IN {_NO_STUDY}) EXECUTE FUNCTION study_of_instance()"
        )
        return
    op.execute(
        "CREATE TRIGGER study_of_instance AFTER INSERT ON instance FOR EACH ROW "
        f"WHEN NEW.standing NOT IN {_NO_STUDY} BEGIN {_made()}; {_changed()}; END"
    )


def _said(row: str) -> dict[str, str]:
    return {column: said.format(row=row) for column, said in _TAKEN.items()}


def _made() -> str:
    """The first instance makes the study; two at once make one."""
    return (
        f"INSERT INTO study (study_instance_uid, {', '.join(_TAKEN)}, received_at) "
        f"SELECT NEW.study_instance_uid, {', '.join(_said('NEW').values())}, NEW.received_at "
        "WHERE NOT EXISTS (SELECT 1 FROM study "
        "WHERE study.study_instance_uid = NEW.study_instance_uid) "
        "ON CONFLICT (study_instance_uid) DO NOTHING"
    )


def _changed() -> str:
    """A later instance fills in what was empty; a later version of one corrects it."""
    news = {
        column: f"({said} <> '' AND {said} <> study.{column} "
        f"AND (NEW.version > 1 OR study.{column} = ''))"
        for column, said in _said("NEW").items()
    }
    values = (
        f"{column} = CASE WHEN {new} THEN {_said('NEW')[column]} ELSE study.{column} END"
        for column, new in news.items()
    )
    return (
        f"UPDATE study SET {', '.join(values)} "
        f"WHERE study_instance_uid = NEW.study_instance_uid AND ({' OR '.join(news.values())})"
    )


def _fill() -> None:
    """Make the rows of studies that are here already, each from its first instance."""
    op.execute(
        f"INSERT INTO study (study_instance_uid, {', '.join(_TAKEN)}, received_at) "
        f"SELECT i.study_instance_uid, {', '.join(_said('i').values())}, i.received_at "
        "FROM instance AS i WHERE i.id IN (SELECT min(id) FROM instance "
        f"WHERE standing NOT IN {_NO_STUDY} GROUP BY study_instance_uid)"
    )
