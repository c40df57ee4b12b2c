"""What Prometheus reads: the figures are those of the tables, and every rule names a metric."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, insert

from node.audit import schema
from node.audit.tables import Delivery, FindingRow, Instance, Job, Lease, Report
from node.blobs import BlobStore
from node.database import open_engine, utc_now
from node.web.metrics import exposition
from tests.postgres import Postgres, postgres

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Postgres]:
    with postgres() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def a_database(
    request: pytest.FixtureRequest, a_cluster: Postgres, tmp_path: Path
) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'node.db'}"
    database = open_engine(url if request.param == "sqlite" else a_cluster.new_database())
    schema.upgrade(database)
    yield database
    database.dispose()


def samples(database: Engine, folder: Path) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by metric and its labels' values, in the order of the labels' names."""
    text = exposition(database, BlobStore(folder / "blobs")).decode()
    return {
        (one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def work(database: Engine) -> None:
    """One job proven after five seconds, one refused, one queued for ten minutes."""
    now = utc_now()
    ago = {name: now - timedelta(seconds=seconds) for name, seconds in _AGES.items()}
    proven = {f"{name}_at": ago[name] for name in ("received", "assessed", "proven")}
    proven["total_s"] = _AGES["received"] - _AGES["proven"]
    with database.begin() as connection:
        for number, state in enumerate(("done", "refused", "queued"), start=1):
            seg = f"1.2.{number}"
            connection.execute(
                insert(Instance).values(
                    sop_instance_uid=seg,
                    version=1,
                    standing="current",
                    sop_class_uid="1.2",
                    study_instance_uid="1",
                    series_instance_uid="1",
                    modality="SEG",
                    patient_id="P",
                    blob_sha256="0",
                    size=1,
                    header={},
                    source="US",
                    received_at=ago["received"],
                )
            )
            connection.execute(
                insert(Job).values(
                    seg_uid=seg,
                    generation=1,
                    state=state,
                    reason="",
                    study_instance_uid="1",
                    patient_id="P",
                    cases={"cases": []},
                    run=0,
                    created_at=ago["queued"],
                    updated_at=ago["queued"],
                    **(proven if state == "done" else {}),
                )
            )
            if state == "queued":
                continue
            connection.execute(
                insert(FindingRow).values(
                    job_id=number,
                    case_name=f"{seg}#1",
                    status="assessed" if state == "done" else "refused",
                    probability=0.5 if state == "done" else None,
                    refusal_code=None if state == "done" else "video",
                    bundle_sha256="1",
                    finding={"device": "cpu", "timings_ms": {"deep": 250.0}},
                    created_at=ago["assessed"],
                )
            )
        report = connection.execute(
            insert(Report)
            .values(
                job_id=1,
                kind="sr",
                sop_class_uid="1",
                sop_instance_uid="2.25.1",
                series_instance_uid="1",
                study_instance_uid="1",
                blob_sha256="2",
                size=1,
                created_at=ago["assessed"],
            )
            .returning(Report.id)
        ).scalar_one()
        connection.execute(
            insert(Delivery).values(
                report_id=report,
                job_id=1,
                destination="pacs",
                state="proven",
                attempts=1,
                last_error="",
                updated_at=ago["proven"],
            )
        )
        connection.execute(
            insert(Lease).values(executor_id="work-1", role="work", beat_at=ago["proven"])
        )


_AGES = {"queued": 600, "received": 100, "assessed": 97, "proven": 95}


def test_a_scrape_gives_the_state_of_the_node(a_database: Engine, tmp_path: Path) -> None:
    work(a_database)
    found = samples(a_database, tmp_path)
    assert found["crdl_jobs", ("queued",)] == 1
    assert found["crdl_oldest_job_age_seconds", ("queued",)] == pytest.approx(600, abs=20)
    assert found["crdl_oldest_job_age_seconds", ("held",)] == 0
    assert found["crdl_deliveries", ("pacs", "proven")] == 1
    assert found["crdl_findings_last_day", ("video", "refused")] == 1
    assert found["crdl_turnaround_seconds", ("0.95", "total")] == pytest.approx(5, abs=0.1)
    assert found["crdl_turnaround_seconds", ("0.5", "to_finding")] == pytest.approx(3, abs=0.1)
    assert found["crdl_assessment_stage_seconds", ("cpu", "deep")] == 0.25
    assert found["crdl_executor_silence_seconds", ("work-1", "work")] > 90
    assert found["crdl_disk_free_bytes", ()] > 0


def test_an_empty_node_can_be_scraped(a_database: Engine, tmp_path: Path) -> None:
    found = samples(a_database, tmp_path)
    assert found["crdl_audit_chain_position", ()] == 0
    assert not [name for name, _ in found if name == "crdl_turnaround_seconds"]


def test_every_alert_and_panel_asks_for_a_metric_that_there_is(tmp_path: Path) -> None:
    database = open_engine(f"sqlite:///{tmp_path / 'node.db'}")
    schema.upgrade(database)
    text = exposition(database, BlobStore(tmp_path / "blobs")).decode()
    known = set(re.findall(r"^# TYPE (\w+)", text, flags=re.MULTILINE))
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    board = json.loads((DEPLOY / "grafana" / "crdl-node.json").read_text())
    asked = [rule["expr"] for rule in alerts]
    asked += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for expression in asked:
        assert set(re.findall(r"crdl_\w+", expression)) <= known, expression
    assert all(rule["annotations"]["action"] for rule in alerts)
    database.dispose()
