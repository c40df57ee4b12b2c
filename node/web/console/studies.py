"""The list of studies: search by patient, accession number, date and state; pages by key.

Every search walks one index from where the last page ended, so that the thousandth page costs
what the first one does, whatever the number of studies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from node.audit.tables import FindingRow, Instance, Job, Study
from node.database import UtcDateTime, read_only
from node.errors import InputError

PAGE: Final = 50
STATES: Final = ("waiting", "held", "queued", "running", "delivering", "done", "refused", "dead")
_END: Final = "\U0010ffff"  # sorts behind every text
_BY_ARRIVAL, _BY_DATE, _BY_CHANGE = "arrival", "date", "change"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; empty fields admit everything.

    Attributes:
        patient: A Patient ID, or the beginning of a name (family name first).
        accession: An accession number.
        since: Study dates from then on.
        until: Study dates up to and including then.
        state: Some job of the study is in this state.
        after: Where the page before ended, see `Page.next`.

    Raises:
        InputError: If the state is none, or the dates are the wrong way round.
    """

    patient: str = ""
    accession: str = ""
    since: date | None = None
    until: date | None = None
    state: str = ""
    after: str = ""

    def __post_init__(self) -> None:
        if self.state and self.state not in STATES:
            raise InputError(f"no state {self.state!r}; there are {', '.join(STATES)}")
        if self.since and self.until and self.until < self.since:
            raise InputError("the last date lies before the first one")

    @property
    def empty(self) -> bool:
        """Whether everything is looked for."""
        return replace(self, after="") == Search()

    @property
    def order(self) -> str:
        """How the result is sorted: by study date, by change of the job, or by arrival."""
        if self.since or self.until:
            return _BY_DATE
        if self.state and not (self.patient or self.accession):
            return _BY_CHANGE
        return _BY_ARRIVAL


@dataclass(frozen=True, slots=True)
class CaseLine:
    """What was said last about one lesion; `probability` is None where it was refused."""

    probability: float | None
    malignancy: str | None
    refusal: str | None


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One row of the list; `states` of its SEGs' latest jobs."""

    study_instance_uid: str
    patient_id: str
    patient_name: str
    accession_number: str
    study_date: str
    description: str
    received_at: datetime
    instances: int
    states: tuple[str, ...] = ()
    cases: tuple[CaseLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some studies, and the key to give as `after` for the next ones; "" at the end."""

    studies: tuple[StudyLine, ...]
    next: str


def find_studies(database: Engine, wanted: Search, size: int = PAGE) -> Page:
    """Return one page of the studies that are looked for, the newest first.

    Raises:
        InputError: If `after` is no key.
    """
    with read_only(database) as connection:
        if wanted.order == _BY_CHANGE:
            rows, following = _by_change(connection, wanted, size)
        else:
            rows, following = _by_study(connection, wanted, size)
        return Page(_lines(connection, rows), following)


def _by_study(connection: Connection, wanted: Search, size: int) -> tuple[Sequence[Row[Any]], str]:
    column: Any = Study.study_date if wanted.order == _BY_DATE else Study.received_at
    query = _filtered(select(Study.__table__), wanted)
    if wanted.after:
        value, uid = _key(wanted.after)
        bound = (
            literal(value) if wanted.order == _BY_DATE else literal(_moment(value), UtcDateTime())
        )
        query = query.where(tuple_(column, Study.study_instance_uid) < tuple_(bound, literal(uid)))
    query = query.order_by(column.desc(), Study.study_instance_uid.desc())
    rows = connection.execute(query.limit(size + 1)).all()
    if len(rows) <= size:
        return rows, ""
    last = rows[size - 1]
    value = last.study_date if wanted.order == _BY_DATE else last.received_at.isoformat()
    return rows[:size], f"{value}~{last.study_instance_uid}"


def _filtered(query: Select[Any], wanted: Search) -> Select[Any]:
    if wanted.patient:
        name = func.lower(wanted.patient.replace("^", " "))
        end = func.lower(wanted.patient.replace("^", " ") + _END)
        query = query.where(
            or_(
                Study.patient_id == wanted.patient,
                and_(Study.name_key >= name, Study.name_key < end),
            )
        )
    if wanted.accession:
        query = query.where(Study.accession_number == wanted.accession)
    if wanted.since:
        query = query.where(Study.study_date >= f"{wanted.since:%Y%m%d}")
    if wanted.until:
        query = query.where(Study.study_date <= f"{wanted.until:%Y%m%d}")
    if wanted.state:
        query = query.where(
            exists().where(
                Job.study_instance_uid == Study.study_instance_uid, Job.state == wanted.state
            )
        )
    return query


def _by_change(connection: Connection, wanted: Search, size: int) -> tuple[Sequence[Row[Any]], str]:
    """Walk the jobs of a state; a study with two such jobs on a page stands there once."""
    query = select(Job.id, Job.updated_at, Job.study_instance_uid).where(Job.state == wanted.state)
    if wanted.after:
        value, number = _key(wanted.after)
        if not number.isdecimal():
            raise InputError("this page is not there any more; search anew")
        moment = literal(_moment(value), UtcDateTime())
        query = query.where(tuple_(Job.updated_at, Job.id) < tuple_(moment, literal(int(number))))
    query = query.order_by(Job.updated_at.desc(), Job.id.desc())
    jobs = connection.execute(query.limit(size + 1)).all()
    uids = list(dict.fromkeys(job.study_instance_uid for job in jobs[:size]))
    place = case({uid: number for number, uid in enumerate(uids)}, value=Study.study_instance_uid)
    rows = (
        connection.execute(
            select(Study.__table__).where(Study.study_instance_uid.in_(uids)).order_by(place)
        ).all()
        if uids
        else []
    )
    last = jobs[size - 1] if len(jobs) > size else None
    return rows, "" if last is None else f"{last.updated_at.isoformat()}~{last.id}"


def _key(after: str) -> tuple[str, str]:
    value, separator, rest = after.partition("~")
    if not separator or not re.fullmatch(r"[0-9.]{1,64}", rest):
        raise InputError("this page is not there any more; search anew")
    return value, rest


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise InputError("this page is not there any more; search anew") from error
    if moment.tzinfo is None:
        raise InputError("this page is not there any more; search anew")
    return moment


def _lines(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[StudyLine, ...]:
    uids = [row.study_instance_uid for row in rows]
    states: dict[str, list[str]] = {}
    cases: dict[str, list[CaseLine]] = {}
    counted = (
        select(Instance.study_instance_uid, func.count())
        .where(Instance.study_instance_uid.in_(uids), Instance.standing == "current")
        .group_by(Instance.study_instance_uid)
    )
    counts: dict[str, int] = dict(connection.execute(counted).all())
    for uid, job_states, lines in _latest_jobs(connection, uids):
        states.setdefault(uid, []).append(job_states)
        cases.setdefault(uid, []).extend(lines)
    return tuple(
        StudyLine(
            row.study_instance_uid,
            row.patient_id,
            row.patient_name,
            row.accession_number,
            row.study_date,
            row.description,
            row.received_at,
            counts.get(row.study_instance_uid, 0),
            tuple(dict.fromkeys(states.get(row.study_instance_uid, ()))),
            tuple(cases.get(row.study_instance_uid, ())),
        )
        for row in rows
    )


def _latest_jobs(
    connection: Connection, uids: Sequence[str]
) -> list[tuple[str, str, list[CaseLine]]]:
    jobs = connection.execute(
        select(Job.id, Job.seg_uid, Job.study_instance_uid, Job.state)
        .where(Job.study_instance_uid.in_(uids))
        .order_by(Job.generation)
    ).all()
    latest = {job.seg_uid: job for job in jobs}
    found: dict[int, list[CaseLine]] = {}
    rows = connection.execute(
        select(
            FindingRow.job_id,
            FindingRow.probability,
            FindingRow.malignancy,
            FindingRow.refusal_code,
        )
        .where(FindingRow.job_id.in_([job.id for job in latest.values()]))
        .order_by(FindingRow.id)
    )
    for job_id, probability, malignancy, refusal in rows:
        found.setdefault(job_id, []).append(CaseLine(probability, malignancy, refusal))
    return [(job.study_instance_uid, job.state, found.get(job.id, [])) for job in latest.values()]
