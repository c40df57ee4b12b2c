"""A job's steps arrive at an OpenTelemetry collector as one trace, also when that was away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from node.audit import schema
from node.audit.chain import Chainer
from node.audit.pseudonym import Pseudonyms
from node.audit.seal import Sealer
from node.audit.tables import Association, FindingRow, Instance, Job, Report
from node.audit.trail import Trail
from node.config import TelemetrySettings
from node.database import open_engine
from node.errors import DeliveryError
from node.jobs import states
from node.service.tracing import Tracer

SCRIPT = Path(__file__).parents[1] / "otlp_collector.py"
SEG, STUDY = "1.2.840.1.5.1", "1.2.840.1.5"
RECEIVED = datetime.now(UTC) - timedelta(seconds=30)


@dataclass
class Site:
    """A node's record, and a collector."""

    database: Engine
    sealer: Sealer
    endpoint: str
    file: Path

    @property
    def tracer(self) -> Tracer:
        settings = TelemetrySettings(endpoint=self.endpoint)
        return Tracer(self.database, Pseudonyms(self.sealer), settings, "CRDL")

    def spans(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def chain(self) -> None:
        Chainer(self.database, self.sealer).advance()


@pytest.fixture
def a_site(tmp_path: Path) -> Iterator[Site]:
    database = open_engine(f"sqlite:///{tmp_path / 'node.db'}")
    schema.upgrade(database)
    file = tmp_path / "spans"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(file)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    sealer = Sealer.from_file(tmp_path / "audit.key")
    yield Site(database, sealer, f"http://127.0.0.1:{port}/v1/traces", file)
    process.terminate()
    process.wait(10)
    database.dispose()


def worked(site: Site, outcome: states.State = "done", generation: int = 1) -> None:
    """One job from an association to two destinations, one of which said no at first."""
    trail = Trail("work", site.sealer)
    with site.database.begin() as connection:
        if generation == 1:
            opened = RECEIVED - timedelta(seconds=2)
            connection.execute(
                insert(Association).values(
                    id="a", calling_ae="US1", address="192.0.2.7", receiver="r", opened_at=opened
                )
            )
            connection.execute(insert(Instance).values(**an_instance()))
        job = connection.execute(
            insert(Job).values(
                seg_uid=SEG,
                generation=generation,
                state="waiting",
                study_instance_uid=STUDY,
                patient_id="Doe^Jane",
                cases={"cases": []},
                created_at=RECEIVED,
                updated_at=RECEIVED,
            )
        ).inserted_primary_key[0]
        name = states.subject(SEG, generation)
        trail.record(connection, "job", "created", name, {"job": job}, study=STUDY)
        for state in ("queued", "running"):
            states.change(connection, trail, states.find(connection, job), state)
        timings = {"read": 10.0, "radiomics": 4.0, "score": 1.0}
        finding = {"status": "assessed", "model": "PreCRDL", "device": "cpu", "timings_ms": timings}
        connection.execute(
            insert(FindingRow).values(
                job_id=job,
                case_name=f"{SEG}#1",
                status="assessed",
                bundle_sha256="0" * 64,
                finding=finding,
                created_at=RECEIVED,
            )
        )
        states.change(connection, trail, states.find(connection, job), "delivering")
        uid = f"2.25.{100000 + generation}"
        connection.execute(
            insert(Report).values(
                job_id=job,
                kind="sr",
                sop_class_uid="1.2",
                sop_instance_uid=uid,
                series_instance_uid="1.2",
                study_instance_uid=STUDY,
                blob_sha256="1" * 64,
                size=1,
                created_at=RECEIVED,
            )
        )
        for destination, event in (("pacs", "pending"), ("web", "proven"), ("pacs", "proven")):
            told = {"destination": destination, "error": "Doe^Jane", "job": job}
            trail.record(connection, "delivery", event, uid, told, study=STUDY)
        states.change(connection, trail, states.find(connection, job), outcome, f"of {STUDY}")
    site.chain()


def an_instance() -> dict[str, Any]:
    return {
        "sop_instance_uid": SEG,
        "version": 1,
        "standing": "current",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.4",
        "study_instance_uid": STUDY,
        "series_instance_uid": "1.2",
        "modality": "SEG",
        "patient_id": "Doe^Jane",
        "blob_sha256": "2" * 64,
        "size": 1,
        "header": {},
        "source": "US1@192.0.2.7",
        "association_id": "a",
        "received_at": RECEIVED,
    }


def test_one_trace_leads_from_the_association_to_the_proof(a_site: Site) -> None:
    tracer = a_site.tracer
    assert tracer.advance() == 0, "the first look only finds the end"
    worked(a_site)
    assert tracer.advance() == len(a_site.spans())
    spans = {one["name"]: one for one in a_site.spans()}
    assert list(spans) == [
        "report",
        "receive",
        "pair",
        "queue",
        "assess",
        "assess read",
        "assess radiomics",
        "assess score",
        "deliver",
        "deliver to pacs",
        "deliver to web",
    ]
    assert len({one["trace"] for one in spans.values()}) == 1
    parents = {name: one["parent"] for name, one in spans.items()}
    assert parents["report"] == ""
    for name in ("receive", "pair", "queue", "assess", "deliver"):
        assert parents[name] == spans["report"]["id"]
    assert parents["assess radiomics"] == spans["assess"]["id"]
    assert parents["deliver to pacs"] == spans["deliver"]["id"]
    assert spans["receive"]["end"] - spans["receive"]["start"] == 2_000_000_000
    for one in spans.values():
        assert spans["report"]["start"] <= one["start"] <= one["end"] <= spans["report"]["end"]
    assert spans["report"]["attributes"]["crdl.outcome"] == "done"
    assert spans["deliver to pacs"]["attributes"]["crdl.answers"] == 2
    assert spans["report"]["resource"]["service.instance.id"] == "CRDL"


def test_nothing_in_a_trace_names_a_patient_or_a_study(a_site: Site) -> None:
    tracer = a_site.tracer
    tracer.advance()
    worked(a_site)
    tracer.advance()
    text = a_site.file.read_text()
    assert "Doe" not in text
    assert STUDY not in text
    assert Pseudonyms(a_site.sealer).of(STUDY) in text


def test_a_later_generation_is_in_the_same_trace(a_site: Site) -> None:
    tracer = a_site.tracer
    tracer.advance()
    worked(a_site)
    worked(a_site, "dead", generation=2)
    tracer.advance()
    roots = [one for one in a_site.spans() if one["name"] == "report"]
    assert [one["attributes"]["crdl.generation"] for one in roots] == [1, 2]
    assert len({one["trace"] for one in a_site.spans()}) == 1
    assert [one["failed"] for one in roots] == [False, True]
    assert len({one["id"] for one in a_site.spans()}) == len(a_site.spans())


def test_a_collector_that_was_away_gets_everything_later_and_the_same_again(
    a_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.service.tracing._TIMEOUT_S", 0.5)
    tracer = a_site.tracer
    tracer.advance()
    worked(a_site)
    refuse = a_site.file.with_name("spans.refuse")
    refuse.touch()
    with pytest.raises(DeliveryError, match="does not take traces"):
        tracer.advance()
    refuse.unlink()
    sent = a_site.tracer.advance()  # another process, after a restart
    assert sent == len(a_site.spans()) > 0
    with a_site.database.begin() as connection:  # as if it had died before it noted its place
        connection.exec_driver_sql('UPDATE follower SET position = 1, "offset" = 0')
    a_site.tracer.advance()
    ids = [one["id"] for one in a_site.spans()]
    assert len(ids) == 2 * sent
    assert len(set(ids)) == sent


def test_a_job_that_goes_on_after_its_end_is_told_again(a_site: Site) -> None:
    tracer = a_site.tracer
    tracer.advance()
    worked(a_site, "dead")
    tracer.advance()
    trail = Trail("work", a_site.sealer)
    with a_site.database.begin() as connection:
        number = connection.scalar(select(Job.id))
        assert number is not None
        for state in ("delivering", "done"):
            states.change(connection, trail, states.find(connection, number), state)
    a_site.chain()
    tracer.advance()
    roots = [one for one in a_site.spans() if one["name"] == "report"]
    assert [one["attributes"]["crdl.outcome"] for one in roots] == ["dead", "done"]
    assert len({one["id"] for one in roots}) == 2
