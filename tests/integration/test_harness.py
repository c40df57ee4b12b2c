"""The harness starts a node as an admin may: one role by itself, on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from node.bench.harness import HarnessError, RunningNode, a_node, start, write_config
from node.bench.images import Image
from node.bench.sender import Burst
from node.bench.watching import wait_until
from node.deliver.send import send_files
from tests.acceptance.studies import a_study
from tests.postgres import postgres

pytestmark = pytest.mark.peers

SMALL = Image("still", 1)


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


def test_several_receivers_share_a_port_and_each_comes_back_to_it(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", [], node={"receivers": 2}) as node:
        first, second = node.role("receive")
        address = ("127.0.0.1", node.dicom_port)
        assert node.dicom_port in listened_to_by(first) & listened_to_by(second)
        Burst(address, "CRDL", SMALL, 6, 12, run=1).send()
        second.kill()
        assert wait_until(lambda: len(ready_receivers(node, address[1])) == 2, 60)
        Burst(address, "CRDL", SMALL, 6, 12, run=2).send()
        with node.database().connect() as connection:
            kept = connection.execute(text("SELECT count(*) FROM instance")).scalar()
            names = connection.execute(text("SELECT DISTINCT receiver FROM association"))
            receivers = {name for (name,) in names}
        assert kept == 24
        assert receivers <= {"receiver", "receiver-2"}
        assert node.stop() == 0


def listened_to_by(process: psutil.Process) -> set[int]:
    """The ports that a process listens on."""
    try:
        found = process.connections("tcp")
    except psutil.NoSuchProcess:
        return set()
    return {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN}


def ready_receivers(node: RunningNode, port: int) -> list[psutil.Process]:
    return [one for one in node.role("receive") if port in listened_to_by(one)]


def test_a_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    config = write_config(tmp_path, [], node={"port": 70_000})
    with pytest.raises(HarnessError, match=r"node\.port"):
        start(config)
