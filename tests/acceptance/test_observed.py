"""A whole node, watched: one trace from the association to the proof, JSON lines, and a login."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from node.audit.pseudonym import PSEUDONYM
from tests.acceptance.studies import a_study
from tests.node_process import RunningNode, a_node, crdl
from tests.peers import orthanc, storescu
from tests.waiting import wait_for
from tests.web_fixtures import PASSWORD

COLLECTOR = Path(__file__).parents[1] / "otlp_collector.py"
pytestmark = [pytest.mark.bench, pytest.mark.peers]


@dataclass(frozen=True)
class Watched:
    """A node, and what its collector has."""

    node: RunningNode
    file: Path

    def spans(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture(scope="module")
def a_watched_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    process = subprocess.Popen(
        [sys.executable, str(COLLECTOR), str(folder / "spans")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    extra = f'[telemetry]\nendpoint = "http://127.0.0.1:{port}/v1/traces"\n[log]\nformat = "json"\n'
    with orthanc(folder / "pacs") as pacs:
        destination = {
            "name": "pacs",
            "protocol": "dimse",
            "ae_title": pacs.ae_title,
            "host": pacs.host,
            "port": pacs.dicom_port,
        }
        with a_node(folder / "node", [destination], extra) as node:
            yield Watched(node, folder / "spans")
    process.terminate()
    process.wait(10)


def test_a_study_is_one_trace_and_its_lines_name_nobody(
    a_watched_node: Watched, tmp_path: Path
) -> None:
    node, study = a_watched_node.node, a_study(tmp_path, 3)
    storescu("127.0.0.1", node.dicom_port, study.files)
    (job,) = node.settled(1)
    assert job["state"] == "done"
    wait_for(a_watched_node.spans, every_s=0.5)
    spans = {one["name"]: one for one in a_watched_node.spans()}
    assert len({one["trace"] for one in spans.values()}) == 1
    assert {"report", "receive", "pair", "queue", "assess", "deliver", "deliver to pacs"} <= set(
        spans
    )
    assert {"assess read", "assess radiomics", "assess score"} <= set(spans)
    order = ["receive", "pair", "queue", "assess", "deliver"]
    starts = [spans[name]["start"] for name in order]
    assert starts == sorted(starts)
    name = spans["report"]["attributes"]["crdl.study"]
    lines = [json.loads(line) for line in (node.folder / "node.log").read_text().splitlines()]
    told = [line["message"].rsplit(" ", 1)[1] for line in lines if line.get("study") == name]
    assert told == ["queued", "running", "delivering", "done"]
    text = (node.folder / "node.log").read_text() + a_watched_node.file.read_text()
    for hidden in (study.study_uid, study.seg_uid):
        assert hidden not in text
    assert PSEUDONYM.fullmatch(name)
    assert node.crdl("audit", "pseudonym", name).stdout.strip() == study.study_uid


def test_a_user_closes_the_open_web_of_a_running_node(a_watched_node: Watched) -> None:
    node = a_watched_node.node
    assert httpx.get(f"{node.web}/api/jobs", trust_env=False).status_code == 200
    command = [sys.executable, "-m", "node", "users", "add", "ada", "--role", "admin"]
    config = ["--config", str(node.config)]
    subprocess.run([*command, *config], input=f"{PASSWORD}\n", text=True, check=True)
    assert httpx.get(f"{node.web}/api/jobs", trust_env=False).status_code == 401
    made = crdl("tokens", "create", "watch", "--scope", "metrics", *config).stdout.strip()
    bearer = {"Authorization": f"Bearer {made}"}
    with httpx.Client(base_url=node.web, trust_env=False) as browser:
        assert browser.get("/metrics", headers=bearer).status_code == 200
        assert browser.get("/api/jobs", headers=bearer).status_code == 403
        form = {"name": "ada", "password": PASSWORD, "next": "/console"}
        assert browser.post("/login", data=form).headers["location"] == "/console"
        assert browser.get("/api/jobs").status_code == 200
        crdl("users", "disable", "ada", *config)
        assert browser.get("/api/jobs").status_code == 401
    rows = json.loads(crdl("audit", "query", "--ledger", "access", "--json", *config).stdout)
    events = [row["event"] for row in rows]
    assert events[:2] == ["user-added", "refused"]
    assert {"token-created", "login", "user-disabled"} <= set(events)
    assert crdl("audit", "verify", *config).returncode == 0
