"""A job's trace, read from the record: what happened when, from receipt to proof.

The ledger knows every step with its time, also of a job that several processes or a killed one
worked on. So a trace is made from it once a job has an outcome: no stage is slowed by it, none is
lost, and one that is made again has the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from node.audit.pseudonym import Pseudonyms
from node.audit.tables import (
    Association,
    FindingRow,
    Instance,
    Job,
    LedgerDelivery,
    LedgerJob,
    Report,
)

OUTCOMES: Final = frozenset({"done", "refused", "dead"})
_NAMES: Final = {  # of the step that each state of a job is; other rows of the ledger are none
    "created": "pair",
    "waiting": "pair",
    "held": "hold",
    "queued": "queue",
    "running": "assess",
    "delivering": "deliver",
    **dict.fromkeys(OUTCOMES, ""),
}
_STAGES: Final = "read prepare semantic radiomics deep score"  # the order of the pipeline
_ENDED: Final = frozenset({"proven", "dead"})
_Step = Row[int, datetime, str]
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Span:
    """A step of a trace; ids are hexadecimal, 32 digits a trace and 16 a span."""

    trace: str
    id: str
    parent: str
    name: str
    start: datetime
    end: datetime
    attributes: Mapping[str, Value] = field(default_factory=dict)
    failed: bool = False

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError("a span ends after it starts")


@dataclass(frozen=True, slots=True)
class _Pen:
    """Numbers the spans of one look at a job; the same look has the same numbers."""

    pseudonyms: Pseudonyms
    seg: str
    look: str

    @property
    def trace(self) -> str:
        """One trace a SEG, over all its generations."""
        return self.pseudonyms.sealer.sign(f"trace {self.seg}")[:32]

    def span(self, parent: str, name: str, number: int, start: datetime, end: datetime) -> Span:
        key = f"span {self.seg} {self.look} {parent} {name} {number}"
        numbered = self.pseudonyms.sealer.sign(key)[:16]
        return Span(self.trace, numbered, parent, name, start, max(start, end))


def trace_of(connection: Connection, row: Mapping[str, Any], who: Pseudonyms) -> list[Span]:
    """Return the spans of a job that has just come to an outcome, the root first.

    Args:
        connection: To read from.
        row: The ledger's row of the outcome, as `node.audit.follow.read` gives it.
        who: Makes pseudonyms and numbers.
    """
    job = connection.execute(
        select(Job.__table__).where(Job.id == row["detail"]["job"])
    ).one_or_none()
    if job is None:
        return []
    steps = connection.execute(
        select(LedgerJob.id, LedgerJob.at, LedgerJob.event)
        .where(LedgerJob.subject == row["subject"], LedgerJob.id <= row["id"])
        .order_by(LedgerJob.id)
    ).all()
    arrived = _arrival(connection, job)
    pen = _Pen(who, job.seg_uid, f"{job.generation} {row['id']}")
    root = pen.span("", "report", 0, arrived[0], steps[-1].at)
    told: dict[str, Value] = {
        "crdl.job": job.id,
        "crdl.generation": job.generation,
        "crdl.study": who.of(job.study_instance_uid),
        "crdl.seg": who.of(job.seg_uid),
        "crdl.outcome": row["event"],
        "crdl.priority": job.priority,
    }
    spans = [_with(root, told, failed=row["event"] == "dead")]
    spans.append(pen.span(root.id, "receive", 0, *arrived))
    for number, (step, end) in enumerate(_intervals(steps)):
        span = pen.span(root.id, _NAMES[step.event], number, step.at, end)
        spans.append(span)
        if step.event == "running":
            spans += _stages(connection, job, pen, span)
        if step.event == "delivering":
            spans += _destinations(connection, job, pen, span)
    return spans


def _intervals(steps: Sequence[_Step]) -> Iterator[tuple[_Step, datetime]]:
    """Yield each step that lasted, with its end; a change of the reason alone is no new step."""
    begun: _Step | None = None
    for step in steps:
        if step.event not in _NAMES or (begun and _NAMES[step.event] == _NAMES[begun.event]):
            continue
        if begun is not None and _NAMES[begun.event]:
            yield begun, step.at
        begun = step


def _arrival(connection: Connection, job: Row[Any]) -> tuple[datetime, datetime]:
    """Return from when to when the SEG was received."""
    row = connection.execute(
        select(Instance.received_at, Association.opened_at)
        .outerjoin(Association, Association.id == Instance.association_id)
        .where(Instance.sop_instance_uid == job.seg_uid)
        .order_by(Instance.version.desc())
        .limit(1)
    ).one_or_none()
    if row is None or job.generation > 1:
        return job.created_at, job.created_at
    opened = row.opened_at or row.received_at
    return min(opened, row.received_at), row.received_at


def _stages(connection: Connection, job: Row[Any], pen: _Pen, parent: Span) -> Iterator[Span]:
    """Yield a span for each stage that a finding says the time of, one after the other."""
    findings = connection.execute(
        select(FindingRow.case_name, FindingRow.finding)
        .where(FindingRow.job_id == job.id)
        .order_by(FindingRow.id)
    ).all()
    start, number = parent.start, 0
    for case, finding in findings:
        told: dict[str, Value] = {
            "crdl.case": pen.pseudonyms.hide(case),
            "crdl.status": str(finding.get("status", "")),
            "crdl.model": str(finding.get("model", "")),
            "crdl.device": str(finding.get("device", "")),
        }
        refusal = finding.get("refusal")
        if refusal:
            told["crdl.refusal"] = str(refusal["code"])
        timings = finding.get("timings_ms", {})
        for stage in sorted(timings, key=lambda name: (_STAGES.find(name), name)):
            milliseconds = timings[stage]
            end = min(start + timedelta(milliseconds=float(milliseconds)), parent.end)
            yield _with(pen.span(parent.id, f"assess {stage}", number, start, end), told)
            start, number = end, number + 1


def _destinations(connection: Connection, job: Row[Any], pen: _Pen, parent: Span) -> Iterator[Span]:
    """Yield a span for each destination: until the last object was proven, or given up."""
    uids = select(Report.sop_instance_uid).where(Report.job_id == job.id)
    rows = connection.execute(
        select(LedgerDelivery.at, LedgerDelivery.event, LedgerDelivery.detail)
        .where(
            LedgerDelivery.subject.in_(uids),
            LedgerDelivery.at >= parent.start,
            LedgerDelivery.at <= parent.end + timedelta(seconds=1),
        )
        .order_by(LedgerDelivery.id)
    ).all()
    names = sorted({str(row.detail.get("destination", "")) for row in rows} - {""})
    for number, name in enumerate(names):
        own = [row for row in rows if row.detail.get("destination") == name]
        ended = [row for row in own if row.event in _ENDED]
        last = ended[-1] if ended else own[-1]
        told: dict[str, Value] = {
            "crdl.destination": name,
            "crdl.state": last.event,
            "crdl.answers": len(own),
        }
        span = pen.span(parent.id, f"deliver to {name}", number, parent.start, last.at)
        yield _with(span, told, failed=any(row.event == "dead" for row in own))


def _with(span: Span, told: Mapping[str, Value], *, failed: bool = False) -> Span:
    return Span(
        span.trace, span.id, span.parent, span.name, span.start, span.end, dict(told), failed
    )
