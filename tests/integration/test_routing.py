"""Routing rules in a node: what fires is done and audited; and tried on files by a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from models.simulation.cohort import write_cohort
from node.audit.tables import Job, LedgerJob
from node.cli import app
from node.config import Settings
from node.errors import ConfigurationError
from node.jobs.admin import show_job
from node.jobs.stages import Stages, Wish
from node.service.compose import report_settings
from node.service.routing import route_stage
from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import Node, a_database, a_node

GREY = "1.2.3.1"
RULES = """
[[rule]]
name = "phantoms"
when.manufacturer = "Phantom*"
then.skip = "a phantom"

[[rule]]
name = "urgent"
when.body_part = "LEG"
then.priority = "stat"
then.bundle = "for-legs"

[[rule]]
name = "likely"
when.probability = { min = 0.6 }
when.body_part = "LEG"
then.destinations = ["mdt"]
"""
DESTINATIONS = [
    {"name": name, "ae_title": "A", "host": "127.0.0.1", "port": 104} for name in ("pacs", "mdt")
]


@pytest.fixture(scope="module")
def the_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.toml"
    path.write_text(RULES)
    return path


@pytest.fixture(scope="module")
def the_node(the_rules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    settings = Settings.model_validate({"rules": {"file": the_rules}, "destination": DESTINATIONS})
    before = Node.stages

    def with_rules(node: Node, *destinations: str | Wish) -> Stages:
        return replace(before(node, *destinations), route=route_stage(settings))

    folder = tmp_path_factory.mktemp("routing")
    with pytest.MonkeyPatch.context() as patch, a_database("sqlite", folder) as url:
        patch.setattr(Node, "stages", with_rules)
        with a_node(url, folder, "work-1", "pacs", "mdt") as node:
            yield node


@pytest.fixture
def a_running_node(the_node: Node) -> Node:
    the_node.anew()
    return the_node


def fired(node: Node) -> list[dict[str, Any]]:
    query = select(LedgerJob.detail).where(
        LedgerJob.event == "routed", LedgerJob.study_instance_uid == node.study
    )
    with node.database.connect() as connection:
        return list(connection.scalars(query.order_by(LedgerJob.id)))


def column(node: Node, name: str) -> str:
    query = select(getattr(Job, name)).where(Job.study_instance_uid == node.study)
    with node.database.connect() as connection:
        return str(connection.scalar(query))


def sent_to(node: Node) -> list[str]:
    (job,) = node.jobs()
    shown = show_job(node.database, job["id"])
    return [delivery["destination"] for delivery in shown["deliveries"]]


def test_what_is_skipped_is_refused_with_the_rule_as_reason(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY, manufacturer="Phantom Inc"), a_seg(a_segment(1, GREY)))
    (job,) = a_running_node.settles("refused")
    assert job["reason"] == "rule phantoms: a phantom"
    assert a_running_node.rooms.requests == []
    assert [row["rule"] for row in fired(a_running_node)] == ["phantoms"]


def test_a_rule_chooses_bundle_priority_and_destination(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY, body_part_examined="LEG"), a_seg(a_segment(1, GREY)))
    a_running_node.settles("done")
    assert (column(a_running_node, "priority"), column(a_running_node, "bundle")) == (
        "stat",
        "for-legs",
    )
    assert [request.bundle for request in a_running_node.rooms.requests] == ["for-legs"]
    assert sent_to(a_running_node) == ["mdt"]
    before, after = fired(a_running_node)
    assert before["decided"] == {"skip": "", "bundle": "for-legs", "priority": "stat"}
    assert before["because"] == ["body_part is 'leg'"]
    assert (after["rule"], after["decided"]) == ("likely", {"destinations": ["mdt"]})
    assert len(after["rules_sha256"]) == 64


def test_without_a_match_everything_is_as_configured(a_running_node: Node) -> None:
    a_running_node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    a_running_node.settles("done")
    assert (column(a_running_node, "priority"), column(a_running_node, "bundle")) == ("routine", "")
    assert sent_to(a_running_node) == ["pacs", "mdt"]
    assert fired(a_running_node) == []


def test_companions_that_only_a_rule_wants_are_made(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nname = "a"\nthen.companions = ["pdf"]\n')
    settings = Settings.model_validate({"rules": {"file": path}, "destination": DESTINATIONS})
    assert report_settings(settings).companions == ("sc", "pdf")


def test_a_person_tries_rules_on_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        app(["rules", "test", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    write_cohort(1, 3, tmp_path / "cohort", jobs=1)
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "mine"\nwhen.sender = "US*"\nthen.bundle = "simulated"\n'
        'then.priority = "high"\n\n[[rule]]\nname = "scored"\n'
        'when.status = "assessed"\nthen.destinations = []\n'
    )
    asked = (str(tmp_path / "cohort"), "--rules", str(rules), "--from", "US1")
    first = json.loads(said(*asked, "--assess", "--json"))[0]
    assert [one["fires"] for one in first["before"]] == [True, False]
    assert first["before"][0]["decides"] == {"bundle": "simulated", "priority": "high"}
    assert first["facts"]["lesion_size_mm"][0] > 0
    assert [one["fires"] for one in first["after"]] == [False, True]
    text = said(*asked)
    assert "fires  line 1, 'mine': sender is 'us*'" in text
    assert "add --assess" in text
    rules.write_text('[[rule]]\nname = "mine"\nthen.bundle = "no-such-bundle"\n')
    with pytest.raises(ConfigurationError, match=r"rules\.toml, line 1: "):
        said(*asked)
