"""Which bundle serves, and what its shadow would have said."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from node.audit.tables.base import SHA256, Base, Id


class Activation(Base):
    """A bundle made to serve or to shadow; the newest row of a `role` wins over node.toml."""

    __tablename__ = "activation"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    bundle: Mapped[str] = mapped_column(Text)
    bundle_sha256: Mapped[str] = mapped_column(SHA256)
    activated_by: Mapped[str] = mapped_column(String(64))
    activated_at: Mapped[datetime]


class ShadowFinding(Base):
    """What the shadow bundle would have said about a case; it reaches no report."""

    __tablename__ = "shadow_finding"
    __table_args__ = (UniqueConstraint("job_id", "case_name", "bundle_sha256"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    case_name: Mapped[str] = mapped_column(String(80), index=True)
    bundle_sha256: Mapped[str] = mapped_column(SHA256)
    status: Mapped[str] = mapped_column(String(16))
    probability: Mapped[float | None]
    malignancy: Mapped[str | None] = mapped_column(String(16))
    finding: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
