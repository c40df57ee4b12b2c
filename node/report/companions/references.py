"""References and coded items that the companions share, and their table."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.report.header import add_series
from node.report.request import ReportRequest
from sr_templates.words import say


class Reference(NamedTuple):
    """One object and where it lies; `frame` only for a frame of a multi-frame image."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    frame: int | None = None


@cache
def documents() -> dict[str, Any]:
    """Return documents.toml."""
    return tomllib.loads(resources.files(__package__).joinpath("documents.toml").read_text("utf-8"))


def coded(name: str) -> Dataset:
    """Return an item of the Code Sequence Macro (PS3.3 section 8.8) by its name in the table."""
    value, scheme, meaning = documents()["codes"][name]
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def instance_item(reference: Reference) -> Dataset:
    """Return an item of the Image SOP Instance Reference Macro (PS3.3 section 10.3)."""
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reference.frame is not None:
        item.ReferencedFrameNumber = reference.frame
    return item


def by_series(references: Iterable[Reference]) -> Iterator[tuple[str, list[Dataset]]]:
    """Group reference items by their series, each object once and without frames."""
    series: defaultdict[str, dict[str, Dataset]] = defaultdict(dict)
    for reference in references:
        item = instance_item(reference._replace(frame=None))
        series[reference.series_instance_uid][reference.sop_instance_uid] = item
    for uid, items in series.items():
        yield uid, list(items.values())


def evidence(study_uid: str, references: Iterable[Reference]) -> Sequence:
    """Return a Hierarchical SOP Instance Reference (PS3.3 table C.17-3) in one study."""
    study = Dataset()
    study.StudyInstanceUID = study_uid
    study.ReferencedSeriesSequence = Sequence()
    for uid, items in by_series(references):
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedSOPSequence = Sequence(items)
        study.ReferencedSeriesSequence.append(series)
    return Sequence([study])


def add_companion_series(dataset: Dataset, request: ReportRequest, kind: str) -> None:
    """Put a companion into the series of its kind; every description begins with the warning."""
    row = documents()["series"][kind]
    warning = say("banner", "simulated" if request.bundle.simulated else "research")
    add_series(dataset, request, kind, row["number"], f"{warning} - {row['description']}"[:64])


def image_of(request: ReportRequest, sop_instance_uid: str, frame: int | None) -> Reference:
    """Return the reference of an assessed image."""
    image = request.images[sop_instance_uid]
    return Reference(image.SOPClassUID, image.SOPInstanceUID, image.SeriesInstanceUID, frame)
