"""A bundle is activated: it answers from the next case on, or nothing does."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from models.bundle import Bundle
from models.bundles.errors import BundleTamperedError
from node.audit import schema
from node.audit.query import Question, ask
from node.audit.tables import Activation
from node.audit.trail import Trail
from node.config import ModelSettings
from node.database import open_engine
from node.service.activation import ActivationError, Lectern, activate, deactivate
from tests.acceptance.studies import SentStudy, a_study
from tests.bundle_variants import that_calls_everything_malignant, variant
from tests.node_process import RunningNode, a_node, crdl

SETTINGS = ModelSettings(device="cpu")


@pytest.fixture
def a_lectern(tmp_path: Path) -> Iterator[Lectern]:
    database = open_engine(f"sqlite:///{tmp_path / 'node.db'}")
    schema.upgrade(database)
    yield Lectern(database, SETTINGS)
    database.dispose()


@pytest.fixture
def a_person() -> Trail:
    return Trail("person:somebody")


def test_without_an_activation_the_bundle_of_the_configuration_serves_and_none_shadows(
    a_lectern: Lectern,
) -> None:
    assert a_lectern.serving().bundle.name == "simulated"
    assert a_lectern.shadow() is None


def test_an_activated_bundle_serves_at_once_and_stands_in_the_ledger(
    a_lectern: Lectern, a_person: Trail, tmp_path: Path
) -> None:
    other = variant(tmp_path / "other")
    before = a_lectern.serving()
    activate(a_lectern.database, a_person, "serving", str(tmp_path / "other"))
    now = a_lectern.serving()
    assert now.bundle.sha256 == other.sha256 != before.bundle.sha256
    assert a_lectern.serving() is now  # and is kept warm
    with a_lectern.database.connect() as connection:
        (row,) = connection.execute(select(Activation.__table__)).all()
    assert (row.role, row.bundle_sha256, row.activated_by) == (
        "serving",
        other.sha256,
        "person:somebody",
    )
    (fact,) = ask(a_lectern.database, Question(ledgers=("system",), event="activated"))
    assert fact["detail"]["sha256"] == other.sha256
    assert fact["detail"]["bundle"] == str(tmp_path / "other")
    assert fact["actor"] == "person:somebody"


def test_a_shipped_bundle_is_activated_by_its_name(
    a_lectern: Lectern, a_person: Trail, tmp_path: Path
) -> None:
    variant(tmp_path / "other")
    activate(a_lectern.database, a_person, "serving", str(tmp_path / "other"))
    choice = activate(a_lectern.database, a_person, "serving", "simulated")
    assert choice.bundle == "simulated"
    assert a_lectern.serving().bundle.sha256 == Bundle.load("simulated").sha256


def test_a_bundle_that_changed_after_its_activation_never_answers(
    a_lectern: Lectern, a_person: Trail, tmp_path: Path
) -> None:
    variant(tmp_path / "other")
    activate(a_lectern.database, a_person, "serving", str(tmp_path / "other"))
    shutil.rmtree(tmp_path / "other")
    variant(tmp_path / "other", that_calls_everything_malignant)
    with pytest.raises(ActivationError, match="changed since"):
        a_lectern.serving()


def test_a_bundle_that_does_not_load_is_not_activated(
    a_lectern: Lectern, a_person: Trail, tmp_path: Path
) -> None:
    variant(tmp_path / "broken")
    (tmp_path / "broken" / "card.md").write_text("another card")
    with pytest.raises(BundleTamperedError):
        activate(a_lectern.database, a_person, "serving", str(tmp_path / "broken"))
    assert a_lectern.serving().bundle.name == "simulated"


def test_a_worker_starts_with_a_broken_activation_and_says_so(
    a_lectern: Lectern, a_person: Trail, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    variant(tmp_path / "other")
    activate(a_lectern.database, a_person, "serving", str(tmp_path / "other"))
    shutil.rmtree(tmp_path / "other")
    a_lectern.warm_up()
    assert "no serving bundle" in caplog.text


def test_after_a_deactivation_the_configuration_holds_again(
    a_lectern: Lectern, a_person: Trail, tmp_path: Path
) -> None:
    variant(tmp_path / "other")
    activate(a_lectern.database, a_person, "shadow", str(tmp_path / "other"))
    assert a_lectern.shadow() is not None
    deactivate(a_lectern.database, a_person, "shadow")
    assert a_lectern.shadow() is None


@pytest.fixture(scope="module")
def a_running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("node")
    with a_node(folder, [], '[model]\ndevice = "cpu"') as node:
        yield node


def job_of(node: RunningNode, study: SentStudy, state: str, reason: str = "") -> dict[str, Any]:
    """Send a study and wait for its job to be in a state, with words in its reason."""
    crdl("send", *map(str, study.files), "--to", f"CRDL@127.0.0.1:{node.dicom_port}")
    return wait_for(node, study.seg_uid, state, reason)


def wait_for(node: RunningNode, seg_uid: str, state: str, reason: str = "") -> dict[str, Any]:
    deadline = time.monotonic() + 60
    job: dict[str, Any] | None = None
    while time.monotonic() < deadline:
        job = next((one for one in node.jobs() if one["seg"] == seg_uid), None)
        if job is not None and job["state"] == state and reason in job["reason"]:
            return node.job(job["id"])
        time.sleep(0.1)
    pytest.fail(f"not {state}: {job}\n{node.log()}")


def test_a_running_worker_changes_over_between_cases_and_never_falls_back(
    a_running_node: RunningNode, tmp_path: Path
) -> None:
    node, other = a_running_node, variant(tmp_path / "other")
    shipped = Bundle.load("simulated").sha256
    first = job_of(node, a_study(tmp_path / "1", 1), "done")
    assert {one["bundle"]["sha256"] for one in first["findings"]} == {shipped}

    assert other.sha256 in node.crdl("models", "activate", str(other.folder)).stdout
    second = job_of(node, a_study(tmp_path / "2", 1), "done")
    assert {one["bundle"]["sha256"] for one in second["findings"]} == {other.sha256}

    # What was activated is gone before a worker has seen it: no bundle answers in its place.
    gone = variant(tmp_path / "gone")
    node.crdl("models", "activate", str(gone.folder))
    shutil.rmtree(gone.folder)
    third = job_of(node, a_study(tmp_path / "3", 1), "queued", "BundleNotFoundError")
    assert third["findings"] == []
    node.crdl("models", "activate", "simulated")
    done = wait_for(node, third["seg"], "done")
    assert {one["bundle"]["sha256"] for one in done["findings"]} == {shipped}


def test_a_shadow_scores_for_the_audit_and_changes_nothing_else(
    a_running_node: RunningNode, tmp_path: Path
) -> None:
    node = a_running_node
    node.crdl("models", "deactivate")
    plain = job_of(node, a_study(tmp_path / "plain", 3), "done")
    other = variant(tmp_path / "eager", that_calls_everything_malignant)
    node.crdl("models", "activate", str(other.folder), "--shadow")
    beside = job_of(node, a_study(tmp_path / "beside", 3), "done")

    (alone,), (served,) = plain["findings"], beside["findings"]
    same = ("probability", "class", "threshold", "model", "bundle", "semantic", "features_sha256")
    assert {key: served[key] for key in same} == {key: alone[key] for key in same}
    assert [one["kind"] for one in beside["reports"]] == [one["kind"] for one in plain["reports"]]

    found = json.loads(node.crdl("models", "compare", "--json").stdout)
    assert found["shadow"] == other.sha256
    assert (found["cases"], found["scored"], found["classed"]) == (1, 1, 1)
    assert found["mean_difference"] == 0
    facts = ask(node.database(), Question(ledgers=("finding",), event="shadowed"))
    assert [fact["detail"]["class"] for fact in facts] == ["malignant"]
    assert facts[0]["detail"]["bundle"]["sha256"] == other.sha256

    shutil.rmtree(other.folder)
    node.crdl("models", "activate", str(variant(tmp_path / "new").folder), "--shadow")
    shutil.rmtree(tmp_path / "new")
    after = job_of(node, a_study(tmp_path / "after", 3), "done")
    assert after["findings"][0]["probability"] == alone["probability"]
    (failed,) = ask(node.database(), Question(ledgers=("job",), event="shadow-failed"))
    assert "BundleNotFoundError" in failed["detail"]["reason"]
