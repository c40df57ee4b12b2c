"""A hospital loses its machine: the backup becomes a node that goes on where the old one was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread
from sqlalchemy import Engine, select

from node.audit.tables import Installation, Report
from node.database import open_engine
from node.deliver.send import send_files
from tests.acceptance.conftest import SR
from tests.acceptance.studies import SentStudy, a_study
from tests.node_process import RunningNode, crdl, start, write_config
from tests.peers import Orthanc, free_ports, orthanc
from tests.postgres import postgres
from tests.waiting import wait_for

pytestmark = [pytest.mark.peers, pytest.mark.bench]


@pytest.fixture(params=["sqlite", "postgresql"])
def two_databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The database of the old node and the empty one of the new."""
    if request.param == "postgresql":
        with postgres() as cluster:
            yield cluster.new_database(), cluster.new_database()
        return
    old, new = tmp_path / "old" / "data" / "node.db", tmp_path / "new" / "data" / "node.db"
    yield f"sqlite:///{old}", f"sqlite:///{new}"


def send(study: SentStudy, node: RunningNode) -> None:
    results = send_files(list(study.files), "CRDL", "127.0.0.1", node.dicom_port, "MODALITY")
    assert all(result.stored for result in results)


def reported(pacs: Orthanc, studies: list[SentStudy]) -> dict[str, int]:
    """How many SRs in the archive rest on each SEG."""
    counted: Counter[str] = Counter()
    for file in pacs.of_class(SR):
        named = [e for e in dcmread(BytesIO(file)).iterall() if e.tag == 0x00081155]
        counted.update({str(element.value) for element in named})
    return {study.seg_uid: counted[study.seg_uid] for study in studies}


def stored(database: Engine) -> dict[str, str]:
    """The UID and the hash of every report object."""
    with database.connect() as connection:
        rows = connection.execute(select(Report.sop_instance_uid, Report.blob_sha256)).all()
    return {row.sop_instance_uid: row.blob_sha256 for row in rows}


def test_the_restored_node_delivers_what_the_lost_one_had_not(
    two_databases: tuple[str, str], tmp_path: Path
) -> None:
    old_url, new_url = two_databases
    ports = free_ports(2)
    destination = {
        "name": "pacs",
        "protocol": "dimse",
        "ae_title": "ORTHANC",
        "host": "127.0.0.1",
        "port": ports[0],
    }
    studies = [a_study(tmp_path / f"s{i}", 1 + i, colour=False) for i in range(3)]
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    config = write_config(tmp_path / "old", [destination], f'[database]\nurl = "{old_url}"\n')
    backup = ("--to", str(tmp_path / "backup"), "--passphrase-file", str(secret))

    with orthanc(tmp_path / "pacs", ports=(ports[0], ports[1])) as pacs:
        node = start(config)
        send(studies[0], node)
        first = open_engine(old_url)
        wait_for(lambda: reported(pacs, studies)[studies[0].seg_uid] == 1, patience_s=90)
    send(studies[1], node)  # nobody takes its report: the archive is down
    wait_for(lambda: len(stored(first)) >= 4, patience_s=90)  # SR and companion of both
    node.crdl("backup", *backup)
    before = stored(first)
    tree = node.tree()
    node.kill_tree()
    psutil.wait_procs(tree, timeout=10)
    with first.connect() as connection:
        lost_installation = connection.scalar(select(Installation.uid))

    config = write_config(tmp_path / "new", [destination], f'[database]\nurl = "{new_url}"\n')
    crdl(
        *("restore", "--from", str(tmp_path / "backup"), "--passphrase-file", str(secret)),
        *("--config", str(config)),
    )
    assert json.loads(crdl("audit", "verify", "--json", "--config", str(config)).stdout)["intact"]
    with orthanc(tmp_path / "pacs", ports=(ports[0], ports[1])) as pacs:
        node = start(config)
        try:
            send(studies[1], node)  # its PACS forwards again what it is not sure of
            send(studies[2], node)
            wait_for(lambda: set(reported(pacs, studies).values()) == {1}, patience_s=180)
            second = open_engine(new_url)
            assert stored(second).items() >= before.items()  # stored reports keep their UIDs
            with second.connect() as connection:
                assert connection.scalar(select(Installation.uid)) != lost_installation
            verdict = json.loads(node.crdl("audit", "verify", "--json").stdout)
            assert verdict["intact"], verdict
        finally:
            assert node.stop() == 0
        assert set(reported(pacs, studies).values()) == {1}
