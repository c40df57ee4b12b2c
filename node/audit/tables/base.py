"""What all tables share: the metadata and the column types."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, String
from sqlalchemy.orm import DeclarativeBase

from node.database import UtcDateTime

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER primary keys
UID = String(64)  # PS3.5 section 6.2, VR UI
SHA256 = String(64)


class Base(DeclarativeBase):
    """The one metadata that migrations compare with the database."""

    type_annotation_map = {dict[str, Any]: JSON, datetime: UtcDateTime}  # noqa: RUF012 - SQLAlchemy's
