"""The harness starts a node as an admin may: one role by itself, on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from node.bench.harness import HarnessError, a_node, start, write_config
from node.deliver.send import send_files
from tests.acceptance.studies import a_study
from tests.postgres import postgres

pytestmark = pytest.mark.peers


def test_a_receiver_by_itself_takes_instances_into_postgresql(tmp_path: Path) -> None:
    study = a_study(tmp_path / "study", 1, colour=False)
    with (
        postgres() as peer,
        a_node(tmp_path / "node", [], database_url=peer.new_database(), role="receive") as node,
    ):
        results = send_files(study.files, "CRDL", "127.0.0.1", node.dicom_port, "MODALITY")
        assert all(result.stored for result in results)
        with node.database().connect() as connection:
            kept = connection.execute(text("SELECT count(*) FROM instance")).scalar()
        assert (kept, node.web) == (len(study.files), "")
        assert node.stop() == 0


def test_a_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    config = write_config(tmp_path, [], node={"port": 70_000})
    with pytest.raises(HarnessError, match=r"node\.port"):
        start(config)
