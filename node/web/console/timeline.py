"""The timeline of a study: every ledger row from the first byte to the proof, with durations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, select

from node.audit.query import Question, ask
from node.audit.tables import Association, Instance
from node.database import read_only

MOST_ROWS: Final = 500

# What a row is called on the timeline; (ledger, event). Others are told by their own names.
_WORDS: Final = {
    ("instance", "received"): "Instance received",
    ("instance", "refused"): "Instance refused",
    ("case", "paired"): "Image and segment paired",
    ("case", "assigned"): "Image assigned by a person",
    ("job", "created"): "Job created",
    ("job", "waiting"): "Waiting",
    ("job", "held"): "Held for a person",
    ("job", "queued"): "Queued",
    ("job", "running"): "Assessment began",
    ("job", "delivering"): "Delivery began",
    ("job", "done"): "Done",
    ("job", "refused"): "Refused",
    ("job", "dead"): "Given up",
    ("job", "retried"): "Retried by a person",
    ("job", "cancelled"): "Cancelled by a person",
    ("finding", "assessed"): "Lesion assessed",
    ("finding", "refused"): "Not assessed",
    ("report", "built"): "Report object written",
    ("report", "superseded"): "Report superseded",
    ("report", "withdrawn"): "Report withdrawn",
    ("delivery", "sent"): "Sent",
    ("delivery", "proven"): "Proven in the archive",
    ("delivery", "failed"): "Delivery failed",
    ("delivery", "dead"): "Delivery given up",
    ("reading", "received"): "Reading received",
    ("reading", "applied"): "Reading applied",
}
# Which facts of a row are told beside it, the first that is there; of a delivery all.
_TOLD: Final = {
    "instance": ("reason", "source"),
    "report": ("kind", "reason"),
    "delivery": ("destination", "error", "reason"),
    "reading": ("reader", "reason"),
}
# What is no step of the way: the numbers behind a finding, and people who looked.
_ASIDE: Final = frozenset({("finding", "inputs"), ("access", "viewed"), ("access", "seen")})
# Every instance and every object of one moment is one step of the way, not a step each.
_TOGETHER: Final = frozenset({"instance", "report", "delivery", "case"})


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened, once or several times in a row.

    Attributes:
        at: When it happened first.
        since_s: Seconds since the first byte.
        after_s: Seconds since the step before.
        notes: What the rows say beside.
        count: How many rows in a row said the same.
    """

    at: datetime
    since_s: float
    after_s: float
    ledger: str
    event: str
    words: str
    actor: str
    notes: tuple[str, ...]
    count: int

    @property
    def person(self) -> str:
        """The person who did it, "" where a process did."""
        kind, _, name = self.actor.partition(":")
        return name if kind in {"person", "token"} else ""

    @property
    def tone(self) -> str:
        """How it is marked: `good`, `bad`, `wait`, or plain."""
        if self.event in {"proven", "done"}:
            return "good"
        if self.event in {"dead", "failed", "refused", "cancelled"}:
            return "bad"
        return "wait" if self.event in {"held", "waiting"} else ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The steps in order, the raw rows, and how long it took from the first byte to the proof."""

    steps: tuple[Step, ...]
    rows: tuple[dict[str, Any], ...]
    first_at: datetime | None
    proven_at: datetime | None

    @property
    def to_proof_s(self) -> float | None:
        """Seconds from the first byte to the first moment at which nothing was unproven."""
        if self.first_at is None or self.proven_at is None:
            return None
        return (self.proven_at - self.first_at).total_seconds()


def timeline(database: Engine, study: str) -> Timeline:
    """Read the timeline of a study."""
    rows = ask(database, Question(study=study, limit=MOST_ROWS))
    with read_only(database) as connection:
        opened = _opened(connection, study)
    return Timeline(
        steps=tuple(_steps(rows, opened)),
        rows=tuple(rows),
        first_at=_first(rows, opened),
        proven_at=_proven(rows),
    )


def _opened(connection: Connection, study: str) -> tuple[datetime, str] | None:
    """Return when the first association that carried the study was opened, and by whom."""
    row = connection.execute(
        select(Association.opened_at, Association.calling_ae, Association.address)
        .join(Instance, Instance.association_id == Association.id)
        .where(Instance.study_instance_uid == study)
        .order_by(Association.opened_at)
        .limit(1)
    ).first()
    return None if row is None else (row.opened_at, f"{row.calling_ae} from {row.address}")


def _first(rows: Sequence[dict[str, Any]], opened: tuple[datetime, str] | None) -> datetime | None:
    times = [datetime.fromisoformat(rows[0]["at"])] if rows else []
    return min([*times, *([opened[0]] if opened else [])], default=None)


def _proven(rows: Sequence[dict[str, Any]]) -> datetime | None:
    """Return the first time at which a job was done after something of it had been proven."""
    proven = False
    for row in rows:
        proven = proven or (row["ledger"], row["event"]) == ("delivery", "proven")
        if proven and (row["ledger"], row["event"]) in {("job", "done"), ("job", "refused")}:
            return datetime.fromisoformat(row["at"])
    return None


def _steps(rows: Sequence[dict[str, Any]], opened: tuple[datetime, str] | None) -> list[Step]:
    start = _first(rows, opened)
    if start is None:
        return []
    steps: list[Step] = []
    if opened is not None:
        steps.append(
            Step(
                opened[0],
                (opened[0] - start).total_seconds(),
                0.0,
                "association",
                "opened",
                "First byte: association opened",
                "receive",
                (opened[1],),
                1,
            )
        )
    for row in rows:
        if (row["ledger"], row["event"]) in _ASIDE:
            continue
        _append(steps, row, start)
    return steps


def _append(steps: list[Step], row: dict[str, Any], start: datetime) -> None:
    at = datetime.fromisoformat(row["at"])
    ledger, event = row["ledger"], row["event"]
    note = _note(row)
    last = steps[-1] if steps else None
    if last is not None and ledger in _TOGETHER and _same(last, row):
        notes = last.notes if not note or note in last.notes else (*last.notes, note)
        steps[-1] = Step(
            last.at,
            last.since_s,
            last.after_s,
            ledger,
            event,
            last.words,
            last.actor,
            notes,
            last.count + 1,
        )
        return
    steps.append(
        Step(
            at,
            (at - start).total_seconds(),
            0.0 if last is None else (at - last.at).total_seconds(),
            ledger,
            event,
            _WORDS.get((ledger, event), f"{ledger} {event}".replace("-", " ").capitalize()),
            row["actor"],
            (note,) if note else (),
            1,
        )
    )


def _same(step: Step, row: dict[str, Any]) -> bool:
    return (step.ledger, step.event, step.actor) == (row["ledger"], row["event"], row["actor"])


def _note(row: dict[str, Any]) -> str:
    """Say in some words what matters of a row beside its event."""
    detail, fact = row["detail"], (row["ledger"], row["event"])
    if fact == ("job", "created"):
        return f"generation {row['subject'].rpartition('/')[2]}"
    if fact == ("finding", "assessed"):
        return f"{100 * float(detail['probability']):.1f} % by {detail['model']}"
    if fact == ("finding", "refused"):
        return str((detail.get("refusal") or {}).get("code", ""))
    told = _TOLD.get(row["ledger"], ("reason",))
    said = list(filter(None, (str(detail.get(name) or "") for name in told)))
    return ": ".join(said) if row["ledger"] == "delivery" else next(iter(said), "")
