"""Kills at the worst moments, and the kill matrix: every boundary, on both databases, at random.

`tests/acceptance/test_resilience.py` kills the whole tree in every run of the suite.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from node.bench.kill.acts import Act, acts
from node.bench.kill.executioner import executions
from node.bench.kill.judge import judge
from node.bench.kill.matrix import run_matrix
from node.bench.kill.modality import Modality
from node.bench.kill.progress import Progress
from node.bench.kill.site import a_site
from node.bench.kill.studies import studies
from node.boundaries import boundaries
from tests.peers import require

pytestmark = pytest.mark.peers

#: Where most can be lost or doubled: acknowledged or not, reported or not, sent or not.
WAYS = (Act("self", "committed"), Act("self", "report-stored"), Act("self", "first-sent"))


def test_every_boundary_has_its_turn_in_the_matrix() -> None:
    assert {way.boundary for way in acts("sqlite") if way.victim == "self"} - {""} == set(
        boundaries()
    )
    assert {way.victim for way in acts("postgresql")} > {"database", "pacs", "tree", "receive"}


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_when_each_role_dies_at_its_worst_moment(
    tmp_path: Path,
) -> None:
    require("orthanc")
    with a_site(tmp_path / "site", "sqlite") as site:
        progress = Progress(site.node.database())
        modality = Modality(
            studies(tmp_path / "studies"),
            site.address,
            lambda sent: sent - progress.ended() < 3,
        )
        modality.start()
        done = list(executions(site, WAYS, 1, random.Random(7), 240))
        assert modality.stop()
        progress.settle(len(modality.sent))
        segs = {study.seg_uid for study in modality.sent}
        verdict = judge(progress.database, site.blobs, site.archive, modality.acknowledged, segs)
    assert sum(one.kills for one in done) == len(WAYS), "somebody did not die: it proves nothing"
    assert sorted(site.diary()) == sorted(way.boundary for way in WAYS)
    assert verdict.clean, verdict


@pytest.mark.bench
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_doubled_in_more_than_a_hundred_kills(
    tmp_path: Path, database: str
) -> None:
    require("orthanc")
    matrix = run_matrix(tmp_path / "run", database, 5, 7, print, minutes=60)
    assert matrix.total.kills > 100
    assert matrix.verdict.clean, matrix.to_json()
