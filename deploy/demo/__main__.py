"""`make demo`: start a node and a PACS, send studies by C-STORE, show the reports."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset
from rich.console import Console
from rich.table import Table

from deploy.demo.pacs import Pacs, a_pacs
from deploy.demo.studies import Study, real_studies, simulated_studies
from node.bench.harness import a_node
from node.deliver.send import send_files

FOLDER = Path("demo")
_WAIT_S = 60.0
_COMPANIONS_S = 2.0
_CASES = 4
_SEED = 2026

console = Console(width=118)


def main() -> int:
    """Run the demonstration; exit 1 if a report is missing."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    console.rule("[bold]CRDL node: demonstration (simulated model, not for diagnosis)")
    studies = [
        *simulated_studies(FOLDER / "simulated", _CASES, _SEED),
        *real_studies(FOLDER / "real"),
    ]
    with a_pacs(FOLDER / "pacs") as pacs, _node(pacs) as (port, web):
        console.print(f"PACS: {pacs.name}; node: dicom 127.0.0.1:{port}, console {web}")
        rows = [_through(study, port, pacs) for study in studies]
        _closing_table(rows)
    console.print(
        f"Files: {FOLDER}/. Start the node again, with its console, by: "
        f".venv/bin/crdl serve --config {FOLDER}/node.toml"
    )
    return 0 if all(row["sr"] for row in rows) else 1


@contextmanager
def _node(pacs: Pacs) -> Iterator[tuple[int, str]]:
    destination = {
        "name": "pacs",
        "protocol": "dimse",
        "ae_title": pacs.ae_title,
        "host": "127.0.0.1",
        "port": pacs.port,
        "verify": "query",
    }
    with a_node(FOLDER, [destination]) as node:
        yield node.dicom_port, node.web


def _through(study: Study, port: int, pacs: Pacs) -> dict[str, object]:
    """Send one study and wait until its report stands in the PACS."""
    before = {one.SOPInstanceUID for one in pacs.study(study.study_instance_uid)}
    results = send_files(study.files, "CRDL", "127.0.0.1", port, "DEMO")
    sent = time.perf_counter()
    if not all(result.stored for result in results):
        raise RuntimeError(f"{study.title}: {[result.detail for result in results]}")
    deadline = sent + _WAIT_S
    milliseconds = 0.0
    report: Dataset | None = None
    found: list[Dataset] = []
    while time.perf_counter() < deadline:
        present = pacs.study(study.study_instance_uid)
        found = [one for one in present if one.SOPInstanceUID not in before]
        if report is None and (report := _report(found)) is not None:
            milliseconds = 1000 * (time.perf_counter() - sent)
            deadline = time.perf_counter() + _COMPANIONS_S
        if report is not None and len(found) > 1:
            break
        time.sleep(0.02)
    console.rule(f"{study.title}: {study.patient}")
    said: dict[str, str] = {}
    if report is None:
        console.print("no report; see demo/node.log")
    else:
        said = _print_tree(report)
    return {
        "patient": study.patient,
        "study": study.title,
        "truth": study.truth,
        "probability": said.get("111047", ""),
        "class": said.get("class", ""),
        "diameter": said.get("81827009", ""),
        "refusal": said.get("refusal", ""),
        "objects": ", ".join(sorted(one.Modality for one in found)),
        "sr": report is not None,
        "ms": f"{milliseconds:.0f}",
    }


def _report(found: list[Dataset]) -> Dataset | None:
    return next((one for one in found if one.Modality == "SR"), None)


def _print_tree(
    item: Dataset, depth: int = 0, said: dict[str, str] | None = None
) -> dict[str, str]:
    """Print a content tree (PS3.3 section C.17.3) as text; return its values by concept code."""
    said = {} if said is None else said
    name = item.get("ConceptNameCodeSequence")
    value = _value(item)
    if name:
        concept = name[0]
        meaning = f"{concept.CodeMeaning}: {value}" if value else f"[bold]{concept.CodeMeaning}"
        console.print("  " * depth + meaning, highlight=False, soft_wrap=True)
        said[str(concept.CodeValue)] = value
        if value in {"Malignant", "Benign"}:
            said["class"] = value
        if "refus" in concept.CodeMeaning.lower() or "not assessed" in concept.CodeMeaning.lower():
            said["refusal"] = value
    for child in item.get("ContentSequence", []):
        _print_tree(child, depth + 1, said)
    return said


def _value(item: Dataset) -> str:
    match item.get("ValueType"):
        case "TEXT":
            return str(item.TextValue)
        case "CODE":
            return str(item.ConceptCodeSequence[0].CodeMeaning)
        case "NUM" if item.MeasuredValueSequence:
            measured = item.MeasuredValueSequence[0]
            return f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"
        case "PNAME":
            return str(item.PersonName)
        case _:
            return ""


def _closing_table(rows: list[dict[str, object]]) -> None:
    table = Table(title="Studies sent and reports in the PACS", show_lines=False)
    columns = {
        "study": "study",
        "patient": "patient",
        "truth": "truth (simulated)",
        "probability": "probability",
        "class": "class",
        "diameter": "diameter",
        "refusal": "refusal",
        "objects": "objects in the PACS",
        "ms": "ms from last C-STORE",
    }
    for title in columns.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(str(row[key]) for key in columns))
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
