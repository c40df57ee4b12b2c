"""What a job says of its own times, and what is counted of the models, while the node works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from tests.factories import a_seg, a_segment, an_image
from tests.jobs_fixtures import DATABASES, Node, a_database, a_node

GREY = "1.2.3.1"


@pytest.fixture(scope="module", params=DATABASES)
def a_running_node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("turnaround")
    with (
        a_database(request.param, folder) as url,
        a_node(url, folder, "turnaround", "pacs") as node,
    ):
        yield node


def rows(node: Node, query: str, **values: object) -> list[dict[str, Any]]:
    with node.database.connect() as connection:
        return [dict(row) for row in connection.execute(text(query), values).mappings()]


def usage(node: Node) -> dict[str, int]:
    (counted,) = rows(
        node, "SELECT sum(cases) AS cases, sum(refused) AS refused FROM v_model_usage"
    ) or [{"cases": 0, "refused": 0}]
    return {name: int(value or 0) for name, value in counted.items()}


def test_a_proven_job_knows_how_long_it_took(a_running_node: Node) -> None:
    node = a_running_node
    node.anew()
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = node.settles("done")
    (timed,) = rows(node, "SELECT * FROM v_turnaround WHERE job_id = :job", job=job["id"])
    assert timed["to_finding_s"] >= 0
    assert timed["to_proof_s"] >= 0
    parts = float(timed["to_finding_s"]) + float(timed["to_proof_s"])
    assert timed["total_s"] == pytest.approx(parts, abs=0.002)


def test_a_case_that_is_assessed_again_is_counted_once(a_running_node: Node) -> None:
    node = a_running_node
    node.anew()
    node.rooms.refuse = True
    assess = node.rooms.assess
    node.rooms.assess = lambda request: replace(assess(request), objects=())  # type: ignore[method-assign]
    before = usage(node)
    node.receive(an_image(GREY), a_seg(a_segment(1, GREY)))
    (job,) = node.settles("refused")
    once = {"cases": before["cases"] + 1, "refused": before["refused"] + 1}
    assert usage(node) == once
    assert node.desk.retry(job["id"]) == "waiting"
    node.settles("refused")
    assert len(node.rooms.requests) == 2
    assert usage(node) == once
