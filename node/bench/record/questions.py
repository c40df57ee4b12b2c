"""How long the questions of the runbook, and the lists that people page through, take to answer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Engine, select

import node
from node.audit.query import Question, ask
from node.audit.tables import Job
from node.bench.record.pages import pages
from node.database import read_only, utc_now
from node.errors import InputError
from node.jobs.admin import list_jobs
from node.jobs.withdrawing import list_reports
from node.web.job_list import latest_jobs

RUNBOOK: Final = Path(node.__file__).parents[1] / "deploy" / "RUNBOOK.md"
LIMIT_S: Final = 0.3
"""What a person waits for an answer without noticing the wait."""

_QUESTION: Final = re.compile(r"\*\*(\d+)\. ([^*]+)\*\*\n\n```sql\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answered:
    """How long a question took; `rows` of the last answer, times in milliseconds."""

    question: str
    rows: int
    median_ms: float
    p95_ms: float

    @property
    def holds(self) -> bool:
        """Whether nearly everybody had the answer in time."""
        return self.p95_ms < 1000 * LIMIT_S


def time_questions(database: Engine, rounds: int, runbook: Path = RUNBOOK) -> Iterator[Answered]:
    """Ask everything `rounds` times, each time about another study and patient.

    Args:
        database: With a record; nothing is written.
        rounds: Times that each question is asked, after once to warm up.
        runbook: Holds the questions.

    Raises:
        InputError: If the runbook is not there, or the database has no job.
    """
    subjects = _subjects(database, rounds + 1)
    for name, question in _everything(database, runbook):
        times = []
        rows = 0
        for study, patient in subjects:
            begun = time.perf_counter()
            rows = question(study, patient)
            times.append(1000 * (time.perf_counter() - begun))
        median, late = np.quantile(times[1:], (0.5, 0.95))
        yield Answered(name, rows, round(float(median), 1), round(float(late), 1))


def _subjects(database: Engine, number: int) -> list[tuple[str, str]]:
    """Return studies and their patients, spread over the whole record."""
    with read_only(database) as connection:
        last = connection.scalar(select(Job.id).order_by(Job.id.desc()).limit(1))
        if last is None:
            raise InputError("the database holds no job: fill it first")
        found = []
        for place in np.linspace(1, last, number, dtype=int).tolist():
            query = select(Job.study_instance_uid, Job.patient_id).where(Job.id >= place)
            study, patient = connection.execute(query.order_by(Job.id).limit(1)).one()
            found.append((study, patient))
    return found


def _everything(database: Engine, runbook: Path) -> Iterator[tuple[str, Callable[[str, str], int]]]:
    for number, title, query in _questions(runbook):
        yield f"{number}. {title}", partial(_sql, database, query)
    yield (
        "crdl audit query, a study",
        lambda study, _: len(ask(database, Question(study=study))),
    )
    yield (
        "crdl audit query, a patient",
        lambda _, patient: len(ask(database, Question(patient=patient))),
    )
    yield "crdl audit query, the newest 1000", lambda *_: len(ask(database, Question()))
    yield "crdl jobs list", lambda *_: len(list_jobs(database))
    yield "crdl jobs list, dead", lambda *_: len(list_jobs(database, ("dead",)))
    yield "crdl reports list", lambda *_: len(list_reports(database))
    yield (
        "crdl reports list, a patient",
        lambda _, patient: len(list_reports(database, patient=patient)),
    )
    yield "jobs as JSON", lambda *_: len(latest_jobs(database))
    yield from pages(database)


def _questions(runbook: Path) -> list[tuple[str, str, str]]:
    try:
        found = _QUESTION.findall(runbook.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{runbook} cannot be read: run this from a checkout") from error
    if not found:
        raise InputError(f"{runbook} holds no questions")
    return [(number, title.strip(), query) for number, title, query in found]


def _sql(database: Engine, query: str, study: str, patient: str) -> int:
    now = utc_now()
    values: dict[str, Any] = {
        "1.2.3": study,
        "P1": patient,
        "2026-01-01": f"{now - timedelta(days=30):%Y-%m-%d}",
        "2026-06-30": f"{now:%Y-%m-%d %H:%M}",
    }
    for example, value in values.items():
        query = query.replace(f"'{example}'", f"'{value}'")
    if database.dialect.name == "postgresql":  # psycopg reads %% as %
        query = query.replace("%", "%%")
    with read_only(database) as connection:
        return len(connection.exec_driver_sql(query).fetchall())
