"""The studies that a real node works through so that its record can be multiplied."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final

from pydicom import Dataset

from models.simulation.case import SimulatedCase, simulate_case
from models.simulation.dicom_seg import reader_segmentation
from models.simulation.dicom_us import colour_image, grey_image
from node.bench.harness.node_process import RunningNode, a_node, as_destination
from node.bench.harness.orthanc import orthanc
from node.bench.harness.programs import HarnessError
from node.deliver.send import send_files

#: How often each outcome occurs among many studies. A specimen is named for it.
SHARES: Final = {
    "assessed": 0.88,
    "another": 0.05,
    "pathology": 0.03,
    "refused": 0.03,
    "cancelled": 0.005,
    "conflict": 0.005,
}
_SEED: Final = 20_260_501
_SETTLED_S: Final = 120.0
_SECTIONS: Final = """
[model]
shadow = "simulated"
[report]
companions = []
"""


@dataclass(frozen=True, slots=True)
class Specimen:
    """One study that a node has worked through."""

    name: str
    study_instance_uid: str


@contextmanager
def worked_through(folder: Path | None = None) -> Iterator[tuple[Path, tuple[Specimen, ...]]]:
    """Run a node and an archive over one study of each kind; give its database, node ended.

    Args:
        folder: Keeps the node's files; None takes a temporary one.

    Raises:
        MissingPeerError: Without Orthanc.
        HarnessError: If the studies do not end as they should.
    """
    with TemporaryDirectory(prefix="crdl-specimens-") as temporary:
        place = Path(temporary) if folder is None else folder
        specimens = []
        with orthanc(place / "pacs") as archive:
            node_folder = place / "node"
            with a_node(node_folder, [as_destination(archive)], _SECTIONS) as node:
                for number, name in enumerate(SHARES, start=1):
                    specimens.append(_send(node, place / name, number, name))
                _settle(node, len(SHARES))
                _let_people_act(node, place, specimens)
        yield node_folder / "data" / "node.db", tuple(specimens)


def study_files(folder: Path, number: int) -> list[Path]:
    """Write one simulated study, a still and the SEG on it; each number is another case."""
    folder.mkdir(parents=True)
    case = simulate_case(number, seed=_SEED)
    image, flow = grey_image(case), colour_image(case)
    seg = _one_segment(reader_segmentation(case, case.readings[0], image, flow))
    return [_written(folder, "image", image), _written(folder, "seg", seg)]


def _send(node: RunningNode, folder: Path, number: int, name: str) -> Specimen:
    folder.mkdir(parents=True)
    case = simulate_case(number, seed=_SEED)
    image, flow = grey_image(case), colour_image(case)
    seg = _one_segment(reader_segmentation(case, case.readings[0], image, flow))
    if name == "refused":
        del image.SequenceOfUltrasoundRegions  # no scale, no millimetres
    files = [_written(folder, "seg", seg)]
    if name != "cancelled":  # a person gives up on a SEG whose image never comes
        files.insert(0, _written(folder, "image", image))
    _arrive(node, files)
    if name == "conflict":
        other = grey_image(_other(case))
        other.SOPInstanceUID = image.SOPInstanceUID
        other.StudyInstanceUID = image.StudyInstanceUID
        other.SeriesInstanceUID = image.SeriesInstanceUID
        other.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        _arrive(node, [_written(folder, "other", other)])
    return Specimen(name, str(seg.StudyInstanceUID))


def _other(case: SimulatedCase) -> SimulatedCase:
    return simulate_case(case.index + 100, seed=_SEED)


def _written(folder: Path, name: str, dataset: Dataset) -> Path:
    path = folder / f"{name}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def _arrive(node: RunningNode, files: list[Path]) -> None:
    results = send_files(files, "CRDL", "127.0.0.1", node.dicom_port, "MODALITY")
    if not all(result.stored for result in results):
        raise HarnessError(f"a specimen was not taken: {results}")


def _settle(node: RunningNode, jobs: int) -> None:
    """Wait until every job has ended, but for the one that waits for its image."""
    end = monotonic() + _SETTLED_S
    found = node.jobs()
    while monotonic() < end:
        found = node.jobs()
        ended = {"done", "refused", "waiting"}
        if len(found) == jobs and all(job["state"] in ended for job in found):
            return
        sleep(0.2)
    raise HarnessError(f"the specimens did not end: {found}")


def _let_people_act(node: RunningNode, folder: Path, specimens: list[Specimen]) -> None:
    named = {specimen.name: specimen.study_instance_uid for specimen in specimens}
    jobs = {job["study"]: job for job in node.jobs()}
    node.crdl("jobs", "cancel", str(jobs[named["cancelled"]]["id"]))
    proven = jobs[named["pathology"]]
    table = folder / "pathology.csv"
    table.write_text(f"study,case,malignant\n{proven['study']},{proven['seg']}#1,1\n")
    node.crdl("outcomes", "import", str(table))


def _one_segment(seg: Dataset) -> Dataset:
    """Leave the grey image's segment: the lesion then has no Doppler mask."""
    frame_bytes = int(seg.Rows) * int(seg.Columns) // 8
    seg.PixelData = seg.PixelData[:frame_bytes] + b"\0" * (frame_bytes % 2)
    seg.NumberOfFrames = 1
    for keyword in ("SegmentSequence", "PerFrameFunctionalGroupsSequence"):
        setattr(seg, keyword, [seg[keyword].value[0]])
    series = seg.ReferencedSeriesSequence[0]
    series.ReferencedInstanceSequence = [series.ReferencedInstanceSequence[0]]
    seg.SourceImageSequence = [seg.SourceImageSequence[0]]
    return seg


def open_raw(path: Path) -> sqlite3.Connection:
    """Open the node's database for reading, with cells as they are stored."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection
