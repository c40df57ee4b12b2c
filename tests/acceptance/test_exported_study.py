"""From routine to research: what a node has assessed is exported, studied and trained on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from pydicom import dcmread

from node.bench.harness import as_destination
from node.deliver.send import send_files
from tests.node_process import RunningNode, a_node, crdl
from tests.peers import orthanc

pytestmark = [pytest.mark.peers, pytest.mark.bench]

CASES = 60
PATIENCE_S = 600


def rows_of(cohort: Path) -> list[dict[str, str]]:
    with (cohort / "clinical.csv").open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def worked_through(node: RunningNode, cohort: Path, rows: list[dict[str, str]]) -> None:
    """Send every case as a modality would, and wait until each has its report."""
    for row in rows:
        files = [cohort / row[name] for name in ("grey", "colour", "reader1_seg") if row[name]]
        results = send_files(files, "CRDL", "127.0.0.1", node.dicom_port, "MODALITY")
        assert all(result.stored for result in results)
    jobs = node.settled(len(rows), timeout_s=PATIENCE_S)
    assert {job["state"] for job in jobs} == {"done"}


def test_what_a_node_has_assessed_becomes_a_study_and_a_bundle(tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    crdl("simulate", "--cases", str(CASES), "--seed", "5", "--out", str(cohort))
    rows = rows_of(cohort)
    with (
        orthanc(tmp_path / "pacs") as pacs,
        a_node(tmp_path / "node", [as_destination(pacs)]) as node,
    ):
        worked_through(node, cohort, rows)
        pathology = tmp_path / "pathology.csv"
        with pathology.open("w", newline="", encoding="utf-8") as table:
            told = csv.DictWriter(table, ("study", "malignant"))
            told.writeheader()
            for row in rows:
                study = dcmread(cohort / row["grey"]).StudyInstanceUID
                told.writerow({"study": study, "malignant": row["label"]})
        node.crdl("outcomes", "import", str(pathology))
        exported = tmp_path / "exported"
        node.crdl("export", "cohort", "--out", str(exported))
    of_node = rows_of(exported)
    assert sorted(row["label"] for row in of_node) == sorted(row["label"] for row in rows)
    known = {dcmread(cohort / row["grey"]).PatientID for row in rows}
    assert not known & {dcmread(exported / row["grey"]).PatientID for row in of_node}

    study, bundle = tmp_path / "study", tmp_path / "bundle"
    crdl("models", "study", "--cohort", str(exported), "--out", str(study), "--mode", "strict")
    assert (study / "report.html").stat().st_size > 10_000
    assert json.loads((study / "manifest.json").read_text(encoding="utf-8"))
    crdl(
        "models", "train", "--cohort", str(exported), "--out", str(bundle), "--name", "of-the-house"
    )
    assert "of-the-house" in crdl("models", "show", str(bundle), "--json").stdout
