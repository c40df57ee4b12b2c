"""Killing the node, and a PACS that sends everything back: nothing lost, nothing twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread

from node.deliver.send import send_files
from node.errors import DeliveryError
from tests.acceptance.conftest import SR
from tests.acceptance.studies import SentStudy, a_study
from tests.node_process import RunningNode, a_node, start, write_config
from tests.peers import Orthanc, orthanc

pytestmark = pytest.mark.peers

STUDIES = 40
KILLS = 3


def segs_reported(pacs: Orthanc) -> Counter[str]:
    """How many SRs in the archive rest on each SEG."""
    counted: Counter[str] = Counter()
    for file in pacs.of_class(SR):
        report = dcmread(BytesIO(file))
        keyword = "ReferencedSOPInstanceUID"
        counted.update(
            {str(element.value) for element in report.iterall() if element.keyword == keyword}
        )
    return counted


class Sender:
    """A modality that sends studies until each instance is acknowledged, like a real one."""

    def __init__(self, studies: list[SentStudy]) -> None:
        self.studies = studies
        self.port = 0
        self.acknowledged: set[str] = set()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        for study in self.studies:
            for file in study.files:
                while not self._send(file):
                    time.sleep(0.2)

    def _send(self, file: Path) -> bool:
        try:
            (result,) = send_files([file], "CRDL", "127.0.0.1", self.port, "MODALITY")
        except DeliveryError:
            return False
        if result.stored:
            self.acknowledged.add(result.sop_instance_uid)
        return result.stored


def test_nothing_acknowledged_is_lost_when_the_whole_tree_is_killed(tmp_path: Path) -> None:
    moments = random.Random(7)
    studies = [a_study(tmp_path / f"s{i}", 1 + i % 3, colour=i % 2 == 0) for i in range(STUDIES)]
    with orthanc(tmp_path / "pacs") as pacs:
        destination = {
            "name": "pacs",
            "protocol": "dimse",
            "ae_title": pacs.ae_title,
            "host": pacs.host,
            "port": pacs.dicom_port,
        }
        config = write_config(tmp_path / "node", [destination])
        node = start(config)
        sender = Sender(studies)
        sender.port = node.dicom_port
        sender.thread.start()
        for _ in range(KILLS):
            time.sleep(moments.uniform(1, 8))
            tree = node.tree()
            node.kill_tree()
            psutil.wait_procs(tree, timeout=10)
            node = start(config)
            sender.port = node.dicom_port
        try:
            sender.thread.join(240)
            assert not sender.thread.is_alive(), "the sender never got through"
            node.settled(STUDIES, timeout_s=240)
            wanted = {study.seg_uid for study in studies}
            reported = segs_reported(pacs)
            assert {uid: reported[uid] for uid in wanted} == dict.fromkeys(wanted, 1)
            assert sender.acknowledged <= kept_by(node)
        finally:
            assert node.stop() == 0


def kept_by(node: RunningNode) -> set[str]:
    """The SOP Instance UIDs whose bytes lie in the node's blob store, whole."""
    from sqlalchemy import create_engine, text  # noqa: PLC0415

    from node.blobs import BlobStore  # noqa: PLC0415

    blobs = BlobStore(node.folder / "data" / "blobs")
    database = create_engine(f"sqlite:///{node.folder / 'data' / 'node.db'}")
    with database.connect() as connection:
        rows = connection.execute(text("SELECT sop_instance_uid, blob_sha256 FROM instance")).all()
    return {uid for uid, sha256 in rows if blobs.verify(sha256)}


def test_a_pacs_that_forwards_everything_back_gets_one_report(tmp_path: Path) -> None:
    study = a_study(tmp_path / "study", 1, colour=False)
    script = tmp_path / "forward.lua"
    script.write_text(
        "function OnStoredInstance(id, tags, metadata, origin)\n"
        "  if origin['RequestOrigin'] ~= 'Lua' then SendToModality(id, 'crdl') end\n"
        "end\n"
    )
    with orthanc(tmp_path / "pacs", lua=script) as pacs:
        destination = {
            "name": "pacs",
            "protocol": "dimse",
            "ae_title": pacs.ae_title,
            "host": pacs.host,
            "port": pacs.dicom_port,
        }
        with a_node(tmp_path / "node", [destination]) as node:
            pacs.set_modality("crdl", "CRDL", "127.0.0.1", node.dicom_port)
            send_files(study.files, pacs.ae_title, pacs.host, pacs.dicom_port, "MODALITY")
            node.settled(1)
            for _ in range(5):
                for identifier in pacs.get("/instances").json():
                    pacs.post("/modalities/crdl/store", identifier)
                node.settled(1)
            assert segs_reported(pacs)[study.seg_uid] == 1
            assert len(pacs.studies()) == 1


def test_sigterm_drains_and_exits_with_zero(tmp_path: Path) -> None:
    study = a_study(tmp_path / "study", 1, colour=False)
    config = write_config(tmp_path / "node", [])
    node = start(config)
    send_files(study.files, "CRDL", "127.0.0.1", node.dicom_port, "MODALITY")
    assert node.stop() == 0
    again = start(config)
    (job,) = again.settled(1)
    assert job["state"] == "done"
    assert again.stop() == 0


def test_a_killed_role_comes_back_on_its_port_and_goes_on(tmp_path: Path) -> None:
    study = a_study(tmp_path / "study", 1, colour=False)
    with a_node(tmp_path / "node", []) as node:
        for role in ("receive", "work"):
            (victim,) = (p for p in node.tree() if role in p.cmdline())
            victim.kill()
            psutil.wait_procs([victim], timeout=10)
        sender = Sender([study])
        sender.port = node.dicom_port
        sender.thread.start()
        sender.thread.join(60)
        assert not sender.thread.is_alive()
        (job,) = node.settled(1)
        assert job["state"] == "done"
