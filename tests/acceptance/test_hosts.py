"""Several hosts for real: every role on one of its own, each cut off and healed, nothing lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from node.bench.harness import (
    Orthanc,
    RunningNode,
    as_destination,
    orthanc,
    postgres,
    start,
    write_config,
)
from node.bench.kill.judge import Verdict, judge
from node.bench.kill.modality import Modality
from node.bench.kill.progress import Progress
from node.bench.kill.studies import studies
from node.blobs import BlobStore
from node.database import open_engine
from node.jobs.recovery import TTL_S
from tests.namespaces import Hosts, hosts
from tests.peers import require

pytestmark = [pytest.mark.peers, pytest.mark.bench, pytest.mark.timeout(1500)]

ROLES = ("receive", "work", "deliver", "web")
#: Who is cut off, and for how long, in seconds: a worker for longer than its lease.
CUTS = (
    ("deliver", 20.0),
    ("database", 20.0),
    ("work", 1.3 * TTL_S),
    ("pacs", 20.0),
    ("receive", 15.0),
)


def test_roles_on_hosts_of_their_own_lose_nothing_when_each_is_cut_off_and_healed(
    tmp_path: Path,
) -> None:
    for peer in ("orthanc", "postgresql"):
        require(peer)
    with hosts("database", "pacs", "modality", *ROLES) as site, ExitStack() as stack:
        with site.inside("database"):
            cluster = stack.enter_context(postgres(host=site.addresses["database"]))
            url = cluster.new_database()
        with site.inside("pacs"):
            remote = {"RemoteAccessAllowed": True}
            local = stack.enter_context(orthanc(tmp_path / "pacs", options=remote))
        archive = replace(local, host=site.addresses["pacs"])
        ports = {}
        for role in ROLES:
            config = write_config(
                tmp_path / role,
                [as_destination(archive)],
                database_url=url,
                node={"data_dir": str(tmp_path / "data"), "host": site.addresses[role]},
            )
            with site.inside(role):
                node = start(config, role=role)
            stack.callback(_end, node)
            ports[role] = node.dicom_port
        with site.inside("modality"):  # and every thread that is begun here
            verdict, sent, attempts = _live_through(site, tmp_path, url, ports["receive"], archive)
    assert sent >= len(CUTS)
    assert attempts, "nobody was ever cut off: the test proves nothing"
    assert verdict.clean, verdict


def _live_through(
    site: Hosts, folder: Path, url: str, port: int, archive: Orthanc
) -> tuple[Verdict, int, int]:
    """Send, cut and heal; return the verdict, how many studies were sent and what was not taken."""
    progress = Progress(open_engine(url))
    modality = Modality(
        studies(folder / "studies"),
        lambda: (site.addresses["receive"], port),
        lambda sent: sent - progress.ended() < 4,
    )
    modality.start()
    progress.settle(1, timeout_s=300)
    for name, seconds in CUTS:
        before = len(modality.sent)
        site.cut(name)
        time.sleep(seconds)
        site.heal(name)
        deadline = time.monotonic() + 240
        while len(modality.sent) <= before and time.monotonic() < deadline:
            time.sleep(0.5)
        assert len(modality.sent) > before, f"nothing is taken since {name} was cut off"
    assert modality.stop(), "the modality never got through"
    progress.settle(len(modality.sent))
    segs = {study.seg_uid for study in modality.sent}
    blobs = BlobStore(folder / "data" / "blobs", "judge")
    verdict = judge(progress.database, blobs, archive, modality.acknowledged, segs)
    return verdict, len(modality.sent), modality.refusals


def _end(node: RunningNode) -> None:
    if node.process.poll() is None:
        node.stop()
