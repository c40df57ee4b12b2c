"""The edge of the workflow on a running node: rules, a source, a worklist, completion signals."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydicom import Dataset, dcmread
from pynetdicom import AE
from sqlalchemy import select

from models.simulation.cohort import write_cohort
from node.audit.schema import upgrade
from node.audit.tables import LedgerJob, StudyCompletion
from node.audit.trail import Trail
from node.database import open_engine
from node.web.auth.identity import Person, Role
from node.web.workitems import workitem_router
from node.worklist.performed import MPPS
from node.worklist.scp import PULL
from node.worklist.worklist import PUSH, Worklist
from tests.integration.test_worklist import a_step, serving
from tests.node_process import RunningNode, a_node
from tests.peers import orthanc, storescu
from tests.unit.test_ups_states import a_workitem

UID = "2.25.9001"


def a_server(folder: Path) -> tuple[Worklist, FastAPI]:
    """A worklist of somebody else."""
    database = open_engine(f"sqlite:///{folder / 'server.db'}")
    upgrade(database)
    worklist = Worklist(database, Trail("server"))
    app = FastAPI()
    app.include_router(workitem_router(worklist))

    @app.middleware("http")
    async def recognise(request: Any, call_next: Any) -> Any:
        request.state.person = Person("performer", Role.OPERATOR, "loopback")
        return await call_next(request)

    return worklist, app


def the_inputs(*files: Path) -> Dataset:
    item = Dataset()
    item.ReferencedSOPSequence = []
    for path in files:
        dataset = dcmread(path, stop_before_pixels=True)
        item.StudyInstanceUID = dataset.StudyInstanceUID
        reference = Dataset()
        reference.ReferencedSOPClassUID = dataset.SOPClassUID
        reference.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
        item.ReferencedSOPSequence.append(reference)
    return item


def fired(node: RunningNode) -> list[str]:
    with node.database().connect() as connection:
        query = select(LedgerJob.detail).where(LedgerJob.event == "routed")
        return [detail["rule"] for detail in connection.scalars(query)]


@pytest.mark.bench
@pytest.mark.peers
@pytest.mark.timeout(900)
def test_images_are_fetched_a_workitem_completed_and_a_rule_obeyed(tmp_path: Path) -> None:
    write_cohort(1, 3, tmp_path / "cohort", jobs=1)
    (folder,) = (path for path in (tmp_path / "cohort").iterdir() if path.is_dir())
    files = [folder / name for name in ("grey.dcm", "colour.dcm", "seg-reader1.dcm")]
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "all"\nthen.priority = "stat"\nthen.bundle = "simulated"\n'
        'then.destinations = ["pacs"]\nthen.companions = ["pdf"]\n'
    )
    worklist, app = a_server(tmp_path)
    with orthanc(tmp_path / "orthanc") as pacs, serving(app) as url:
        for path in files:
            sent = httpx.post(f"{pacs.url}/instances", content=path.read_bytes(), trust_env=False)
            sent.raise_for_status()
        address = {"ae_title": "ORTHANC", "host": pacs.host, "port": pacs.dicom_port}
        source = "\n".join(f'{key} = "{value}"' for key, value in address.items() if key != "port")
        extra = (
            f'[pairing]\nfetch_after_s = 1\n[rules]\nfile = "{rules}"\n[worklist]\nserve = true\n'
            f'mpps = true\nian = true\nperforms = "{url}/dicom-web"\npoll_s = 1\n'
            f'[[source]]\nname = "pacs"\n{source}\nport = {pacs.dicom_port}\n'
        )
        destination = {"name": "pacs", "protocol": "dimse", **address}
        with a_node(tmp_path / "node", [destination], extra) as node:
            given = a_workitem(InputInformationSequence=[the_inputs(*files)])
            assert worklist.create(UID, given, "PACS").done
            deadline = time.monotonic() + 300
            state = ""
            while state not in {"COMPLETED", "CANCELED"} and time.monotonic() < deadline:
                time.sleep(0.5)
                found = worklist.get(UID).dataset
                state = "" if found is None else found.ProcedureStepState
            assert found is not None
            assert state == "COMPLETED", f"{found}\n{node.log()}"
            (step,) = found.UnifiedProcedureStepPerformedProcedureSequence
            outputs = [
                one.ReferencedSOPInstanceUID
                for item in step.OutputInformationSequence
                for one in item.ReferencedSOPSequence
            ]
            (job,) = node.jobs()
            assert job["state"] == "done"
            made = {one["kind"]: one["sop_instance_uid"] for one in node.job(job["id"])["reports"]}
            assert set(outputs) == set(made.values())
            assert len(pacs.instances(made["sr"])) == 1
            held = {kind.partition("-")[0] for kind, uid in made.items() if pacs.instances(uid)}
            assert held == {"sr", "pdf"}, made  # the rule wants the PDF and no Secondary Capture
            assert fired(node) == ["all", "all"]
            _speaks_to_modalities(node)


def _speaks_to_modalities(node: RunningNode) -> None:
    entity = AE("MODALITY")
    for syntax in (PUSH, PULL, MPPS):
        entity.add_requested_context(syntax)
    association = entity.associate("127.0.0.1", node.dicom_port, ae_title="CRDL")
    assert association.is_established
    association.send_n_create(a_step("IN PROGRESS"), MPPS, "2.25.501")
    association.send_n_set(a_step("COMPLETED", "1.2.77.1"), MPPS, "2.25.501")
    association.send_n_create(a_workitem(), PUSH, "2.25.502")
    association.release()
    with node.database().connect() as connection:
        assert list(connection.scalars(select(StudyCompletion.study_instance_uid))) == ["1.2.77"]
    listed = httpx.get(f"{node.web}/dicom-web/workitems", trust_env=False).json()
    assert [Dataset.from_json(one).SOPInstanceUID for one in listed] == ["2.25.502"]


@pytest.mark.bench
@pytest.mark.peers
@pytest.mark.timeout(900)
def test_a_seg_alone_brings_its_images_from_the_archive(tmp_path: Path) -> None:
    """C-MOVE to the node's own port, as an archive does that knows it."""
    write_cohort(1, 4, tmp_path / "cohort", jobs=1)
    (folder,) = (path for path in (tmp_path / "cohort").iterdir() if path.is_dir())
    with orthanc(tmp_path / "orthanc") as pacs:
        for name in ("grey.dcm", "colour.dcm"):
            data = (folder / name).read_bytes()
            httpx.post(f"{pacs.url}/instances", content=data, trust_env=False).raise_for_status()
        extra = (
            "[pairing]\nfetch_after_s = 1\n[[source]]\n"
            f'name = "pacs"\nretrieve = "move"\nae_title = "ORTHANC"\nhost = "{pacs.host}"\n'
            f"port = {pacs.dicom_port}\n"
        )
        with a_node(tmp_path / "node", [], extra) as node:
            pacs.set_modality("crdl", "CRDL", "127.0.0.1", node.dicom_port)
            storescu("127.0.0.1", node.dicom_port, [folder / "seg-reader1.dcm"])
            (job,) = node.settled(1, 240)
            assert job["state"] == "done"
