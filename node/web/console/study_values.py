"""What a study's page shows: its lesions, the looks at them, and how far each report has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from node.case import Case, InstanceHeader
from node.web.console.sr_page import Drawing, SrPage

# A destination is as far as the object that is furthest behind.
_WORST_FIRST = ("dead", "pending", "sent", "proven", "withdrawn")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to show, with what was drawn on it.

    Attributes:
        rows: Of the image, pixels; so are the columns.
    """

    study: str
    series: str
    instance: str
    number: int
    rows: int
    columns: int
    drawing: Drawing | None = None

    @property
    def url(self) -> str:
        """Where the node renders it."""
        path = f"/dicom-web/studies/{self.study}/series/{self.series}/instances/{self.instance}"
        return f"{path}/frames/{self.number}/rendered"


@dataclass(frozen=True, slots=True)
class Lesion:
    """A case as the latest generation sees it."""

    case: Case
    finding: Mapping[str, Any] | None
    frame: Frame | None


@dataclass(frozen=True, slots=True)
class Part:
    """One object of a report with its deliveries (destination, state, attempts, error, when)."""

    kind: str
    sop_instance_uid: str
    series_instance_uid: str
    size: int
    deliveries: tuple[Row[Any], ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """One job: a look at a SEG, with the report that it made.

    Attributes:
        report: Number of the SR's row, None where there is none.
        standing: `current`, `superseded` or `withdrawn`; "" without a report.
        destinations: (name, worst state) of the deliveries.
    """

    job: int
    number: int
    state: str
    reason: str
    created_at: datetime
    updated_at: datetime
    expired: bool
    report: int | None
    standing: str
    withdrawn_by: str
    withdrawal_reason: str
    parts: tuple[Part, ...]
    findings: tuple[Mapping[str, Any], ...]
    cases: tuple[Case, ...]
    missing: tuple[str, ...]

    @property
    def destinations(self) -> tuple[tuple[str, str], ...]:
        """How far each destination is."""
        states: dict[str, set[str]] = {}
        for part in self.parts:
            for row in part.deliveries:
                states.setdefault(row.destination, set()).add(row.state)
        return tuple(
            (name, next((worst for worst in _WORST_FIRST if worst in found), "pending"))
            for name, found in states.items()
        )


@dataclass(frozen=True, slots=True)
class Look:
    """A SEG with all its generations, the latest first, and the latest report as it reads."""

    seg_uid: str
    label: str
    creator: str
    generations: tuple[Generation, ...]
    lesions: tuple[Lesion, ...]
    sr: SrPage | None
    sr_problem: str
    assignment: Row[Any] | None

    @property
    def latest(self) -> Generation:
        """The generation that stands."""
        return self.generations[0]


@dataclass(frozen=True, slots=True)
class StudyPage:
    """All of the page but its timeline."""

    study: Row[Any]
    header: InstanceHeader
    instances: tuple[tuple[InstanceHeader, Row[Any]], ...]
    looks: tuple[Look, ...]
    readings: tuple[Row[Any], ...] = field(default=())
