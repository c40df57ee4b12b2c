"""The runbook's SQL runs as it stands, on both databases, over a record of a working node."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DatabaseError

from node.audit import schema
from node.database import open_engine
from tests.migrating import upgrade_to
from tests.postgres import Postgres, postgres

RUNBOOK = (Path(__file__).parents[2] / "deploy" / "RUNBOOK.md").read_text(encoding="utf-8")
QUERIES = dict(re.findall(r"\*\*(\d+)\. [^*]+\*\*\n\n```sql\n(.*?)```", RUNBOOK, flags=re.DOTALL))
NOW = "2026-05-01 10:00:0{0}.000000"
STUDY = "1.2.3"


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Postgres]:
    with postgres() as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def a_worked_node(
    request: pytest.FixtureRequest, a_cluster: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A database with one assessed, one refused and one dead job, written before 0008."""
    folder = tmp_path_factory.mktemp("runbook")
    url = f"sqlite:///{folder / 'node.db'}"
    database = open_engine(url if request.param == "sqlite" else a_cluster.new_database())
    upgrade_to(database, "0007")
    with database.begin() as connection:
        for number, (job, finding) in enumerate(
            [("done", "assessed"), ("refused", "refused"), ("dead", None)], start=1
        ):
            seg = f"1.2.3.{number}"
            _insert(
                connection,
                "instance",
                sop_instance_uid=seg,
                version=1,
                standing="conflict" if number == 3 else "current",
                sop_class_uid="1.2",
                study_instance_uid=STUDY,
                series_instance_uid="1.2.3.9",
                modality="SEG",
                patient_id="P1",
                blob_sha256="0" * 64,
                size=1,
                header="{}",
                source="US1",
                received_at=NOW.format(0),
            )
            _insert(
                connection,
                "job",
                seg_uid=seg,
                generation=1,
                state=job,
                reason="",
                study_instance_uid=STUDY,
                patient_id="P1",
                cases='{"cases":[]}',
                run=0,
                created_at=NOW.format(1),
                updated_at=NOW.format(5),
            )
            if finding is not None:
                _insert(
                    connection,
                    "finding",
                    job_id=number,
                    case_name=f"{seg}#1",
                    status=finding,
                    probability=0.8 if finding == "assessed" else None,
                    malignancy="malignant" if finding == "assessed" else None,
                    refusal_code="video" if finding == "refused" else None,
                    bundle_sha256="1" * 64,
                    finding='{"model":"PreCRDL"}',
                    created_at=NOW.format(3),
                )
                _insert(
                    connection,
                    "report",
                    job_id=number,
                    kind="sr",
                    sop_class_uid="1.2",
                    sop_instance_uid=f"2.25.{number}",
                    series_instance_uid="2.25.9",
                    study_instance_uid=STUDY,
                    blob_sha256="2" * 64,
                    size=1,
                    created_at=NOW.format(3),
                )
                _insert(
                    connection,
                    "delivery",
                    report_id=number,
                    job_id=number,
                    destination="pacs",
                    state="proven",
                    attempts=1,
                    last_error="",
                    updated_at=NOW.format(5),
                )
        _insert(
            connection,
            "shadow_finding",
            job_id=1,
            case_name="1.2.3.1#1",
            bundle_sha256="3" * 64,
            status="assessed",
            probability=0.2,
            malignancy="benign",
            finding="{}",
            created_at=NOW.format(4),
        )
        _insert(
            connection,
            "outcome",
            kind="pathology",
            source="csv:1",
            case_name="1.2.3.1#1",
            study_instance_uid=STUDY,
            patient_id="P1",
            malignant=True,
            detail="{}",
            observed_at="2026-05-02",
            created_at=NOW.format(6),
        )
        _insert(
            connection,
            "activation",
            role="serving",
            bundle="own",
            bundle_sha256="1" * 64,
            activated_by="person:ann",
            activated_at=NOW.format(0),
        )
        ledger = {"schema_version": 1, "seal": "", "study_instance_uid": STUDY, "patient_id": "P1"}
        for ledger_name, actor, event, detail in (
            ("instance", "receive", "received", "{}"),
            ("job", "person:ann", "queued", "{}"),
            ("delivery", "deliver", "proven", "{}"),
        ):
            _insert(
                connection,
                f"ledger_{ledger_name}",
                at=NOW.format(1),
                actor=actor,
                event=event,
                subject="1.2.3.1",
                detail=detail,
                **ledger,
            )
        _insert(
            connection,
            "ledger_association",
            at=NOW.format(1),
            actor="receive",
            event="rejected",
            subject="a",
            detail='{"calling_ae":"EVIL"}',
            **(ledger | {"study_instance_uid": "", "patient_id": ""}),
        )
    schema.upgrade(database)
    yield database
    database.dispose()


def _insert(connection: object, table: str, **values: object) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


def _ask(database: Engine, query: str) -> list[dict[str, object]]:
    with database.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(query).mappings()]


def test_there_are_fifteen_questions() -> None:
    assert list(QUERIES) == [str(number) for number in range(1, 16)]


@pytest.mark.parametrize("number", sorted(QUERIES, key=int))
def test_every_question_is_answered(a_worked_node: Engine, number: str) -> None:
    assert _ask(a_worked_node, QUERIES[number].replace("%", "%%")), QUERIES[number]


def test_a_timeline_is_in_order_and_of_one_study(a_worked_node: Engine) -> None:
    stages = [row["stage"] for row in _ask(a_worked_node, QUERIES["1"])]
    assert sorted(stages) == ["delivery", "instance", "job"]


def test_the_turnaround_counts_seconds(a_worked_node: Engine) -> None:
    (first, *_) = _ask(a_worked_node, "SELECT * FROM v_turnaround ORDER BY job_id")
    assert float(first["to_finding_s"]) == pytest.approx(3, abs=0.01)
    assert float(first["to_proof_s"]) == pytest.approx(2, abs=0.01)
    assert float(first["total_s"]) == pytest.approx(5, abs=0.01)


def test_failures_name_what_a_person_must_see(a_worked_node: Engine) -> None:
    rows = _ask(a_worked_node, "SELECT kind, what, reason FROM v_failures ORDER BY kind, what")
    assert [(row["kind"], row["what"]) for row in rows] == [("case", "refused"), ("job", "dead")]
    assert rows[0]["reason"] == "video"


def test_the_readers_role_sees_all_and_changes_nothing(a_cluster: Postgres) -> None:
    url = a_cluster.new_database()
    owner = open_engine(url)
    schema.upgrade(owner)
    (block,) = re.findall(r"```sql-postgresql\n(.*?)```", RUNBOOK, flags=re.DOTALL)
    with owner.begin() as connection:
        connection.exec_driver_sql(block)
    reader = create_engine(url.replace("postgres@", "crdl_reader@"))
    with reader.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM v_case")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM installation")).scalar() == 1
    for forbidden in ("DELETE FROM instance", "UPDATE job SET state = 'done'", "DROP VIEW v_case"):
        with pytest.raises(DatabaseError), reader.begin() as connection:
            connection.execute(text(forbidden))
    reader.dispose()
    owner.dispose()
