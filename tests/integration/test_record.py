"""A record that was cast is one that a node could have written: proven, and answering questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from node.audit import schema
from node.audit.seal import Sealer
from node.audit.tables import LEDGERS, FindingRow, Job
from node.audit.verify import verify
from node.bench.record.measure import moulds
from node.bench.record.mould import StudyMould
from node.bench.record.pour import pour
from node.bench.record.questions import time_questions
from node.database import open_engine
from node.jobs.dbos_engine import migrate
from tests.postgres import postgres

pytestmark = [pytest.mark.peers, pytest.mark.bench]
STUDIES = 400


@pytest.fixture(scope="module")
def real_moulds() -> Iterator[list[tuple[StudyMould, float]]]:
    with moulds() as taken:
        yield taken


@pytest.fixture(params=["sqlite", "postgresql"])
def an_empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        database = open_engine(f"sqlite:///{tmp_path / 'node.db'}")
        schema.upgrade(database)
        migrate(database)
        yield database
        database.dispose()
        return
    with postgres() as cluster:
        database = open_engine(cluster.new_database())
        schema.upgrade(database)
        migrate(database)
        yield database
        database.dispose()


def test_a_cast_record_is_proven_and_goes_on_where_it_ended(
    an_empty_database: Engine, real_moulds: list[tuple[StudyMould, float]], tmp_path: Path
) -> None:
    sealer = Sealer.from_file(tmp_path / "audit.key")
    rows = pour(an_empty_database, sealer, real_moulds, STUDIES)
    rows += pour(an_empty_database, sealer, real_moulds, STUDIES, first=STUDIES)
    found = verify(an_empty_database, sealer)
    assert found.intact, found.faults
    assert (found.rows, found.unchained) == (rows, 0)
    assert rows > 10 * STUDIES
    with an_empty_database.connect() as connection:
        jobs = connection.execute(select(Job.study_instance_uid, Job.total_s)).all()
        assert len({job.study_instance_uid for job in jobs}) == 2 * STUDIES
        named = connection.scalars(select(FindingRow.finding)).all()
        cases = connection.scalars(select(FindingRow.case_name)).all()
        assert [finding["case"] for finding in named] == list(cases)
        for ledger in LEDGERS.values():
            assert connection.execute(select(ledger.id).limit(1)) is not None
    answers = {answer.question: answer for answer in time_questions(an_empty_database, 2)}
    assert len(answers) >= 15
    for number in (1, 2, 3, 4, 5, 7, 8, 9, 11, 15):
        (answer,) = (one for name, one in answers.items() if name.startswith(f"{number}. "))
        assert answer.rows > 0, answer.question
