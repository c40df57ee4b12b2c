"""Reading a radiologist's Structured Report back: what each lesion shows, in our own words.

Comprehensive, Enhanced and Comprehensive 3D SR (PS3.3 section A.35) with TID 1500 content: our
codes, or those that readings.toml knows as the same. OHIF writes a group a measurement, with the
line as SCOORD; 3D Slicer's dcmqi refers to a SEG; both are read. What is not known is listed as
ignored, with the reason, and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from sr_templates.equipment import is_ours
from sr_templates.errors import TemplateError
from sr_templates.reading_items import (
    children,
    composite_references,
    concept_of,
    image_references,
    named,
    person_in,
    text_of,
    walk,
)
from sr_templates.reading_values import Said, agreement_in, said_by

Statement = Literal["malignant", "benign"]

SOP_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR Storage (PS3.4 section B.5)
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR Storage
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR Storage
    }
)
_MEASUREMENT_GROUP: Final = "DCM:125007"  # TID 1410, 1411, 1501
_TRACKING_UID: Final = "DCM:112040"  # TID 4108
_LARGEST_BYTES: Final = 32 << 20


class ReadingError(TemplateError):
    """A Structured Report cannot be read as a radiologist's reading."""


@dataclass(frozen=True, slots=True)
class LesionRead:
    """What a report says about one lesion.

    Attributes:
        tracking_uid: Of the measurement group; "" where it has none.
        seg_uid: SOP Instance UID of the SEG that the group refers to, "" for none.
        segment_number: Segment of that SEG, None where it names only a frame of it.
        images: SOP Instance UIDs of the images that the group refers to.
        features: Values by feature name, in the finding's words; lengths in millimetres.
        statement: What the lesion is in the reader's final words.
        our_class: The class at our operating point, as the report repeats or changes it.
        agrees: The report says that it agrees, or disagrees, with prior findings.
    """

    tracking_uid: str = ""
    seg_uid: str = ""
    segment_number: int | None = None
    images: tuple[str, ...] = ()
    features: Mapping[str, float | str] = field(default_factory=dict)
    statement: Statement | None = None
    our_class: Statement | None = None
    agrees: bool | None = None


@dataclass(frozen=True, slots=True)
class ReportRead:
    """One inbound report.

    Attributes:
        reader: The person observer; "" where only a device observed.
        read_at: ISO 8601, from Content Date and Time; "" where they are missing.
        verified: Verification Flag (0040,A493) is VERIFIED.
        references: Every instance that the report refers to, predecessors included.
        lesions: What it says, a lesion each; what it says of no lesion in particular comes in
            one without references.
        ignored: What was not understood, a sentence each.
    """

    sop_instance_uid: str
    study_instance_uid: str
    patient_id: str
    reader: str
    read_at: str
    verified: bool
    references: tuple[str, ...]
    lesions: tuple[LesionRead, ...]
    ignored: tuple[str, ...]


def read_report(path: Path) -> ReportRead:
    """Read a radiologist's report from a Part 10 file.

    Raises:
        ReadingError: If it is no SR, is damaged, too large, our own, or observed by no person.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        raise ReadingError(f"the report is larger than {_LARGEST_BYTES >> 20} MiB")
    try:
        dataset = dcmread(path)
        return understand(dataset)
    except (InvalidDicomError, EOFError, RecursionError, OSError) as error:
        raise ReadingError(f"the report cannot be read ({type(error).__name__})") from error
    except (ValueError, TypeError, AttributeError, LookupError, NotImplementedError) as error:
        raise ReadingError(f"the report is damaged ({type(error).__name__}: {error})") from error


def understand(dataset: Dataset) -> ReportRead:
    """Understand a report that is already in memory.

    Raises:
        ReadingError: If it is no SR, our own, or observed by no person.
    """
    if str(dataset.get("SOPClassUID", "")) not in SOP_CLASSES:
        raise ReadingError("it is no Enhanced, Comprehensive or Comprehensive 3D SR")
    if is_ours(str(dataset.get("Manufacturer", "")), str(dataset.get("ManufacturerModelName", ""))):
        raise ReadingError("it is a report of this node")
    reader = person_in(dataset)
    if not reader:
        raise ReadingError("no person observed, verified or wrote it: an algorithm reads nothing")
    ignored: list[str] = []
    groups = [item for item in walk(dataset) if concept_of(item) == _MEASUREMENT_GROUP]
    lesions = [*_lesions(groups, ignored), *_of_no_lesion(dataset, ignored)]
    return ReportRead(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        patient_id=str(dataset.get("PatientID", "")),
        reader=reader,
        read_at=_read_at(dataset),
        verified=str(dataset.get("VerificationFlag", "")) == "VERIFIED",
        references=composite_references(dataset),
        lesions=tuple(lesions),
        ignored=tuple(dict.fromkeys(ignored)),
    )


def _lesions(groups: list[Dataset], ignored: list[str]) -> Iterator[LesionRead]:
    """Make one lesion of all groups of a tracking UID; a group without one is its own."""
    by_lesion: dict[str, list[Dataset]] = {}
    for index, group in enumerate(groups):
        uids = [text_of(item) for item in named(group, _TRACKING_UID)]
        by_lesion.setdefault(uids[0] if uids else f"#{index}", []).append(group)
    for key, parts in by_lesion.items():
        tracking = "" if key.startswith("#") else key
        items = [item for part in parts for item in children(part)]
        lesion = _lesion(items, tracking, ignored)
        if lesion is not None:
            yield lesion


def _of_no_lesion(dataset: Dataset, ignored: list[str]) -> Iterator[LesionRead]:
    """What stands outside of every measurement group: TID 1500 row 12, and conclusions."""
    items = [item for item in _outside_groups(dataset) if item is not dataset]
    lesion = _lesion(items, "", ignored, quiet=True)
    if lesion is not None:
        yield lesion


def _outside_groups(item: Dataset) -> Iterator[Dataset]:
    for child in children(item):
        if concept_of(child) == _MEASUREMENT_GROUP:
            continue
        if child.get("ValueType") == "CONTAINER":
            yield from _outside_groups(child)
        else:
            yield child


def _lesion(
    items: list[Dataset], tracking_uid: str, ignored: list[str], *, quiet: bool = False
) -> LesionRead | None:
    """Make a lesion of content items; None where they say nothing that we know."""
    said: Said = said_by(items)
    if not quiet:
        ignored.extend(said.ignored)
    agrees = agreement_in(items)
    if not said.features and said.statement is None and said.our_class is None and agrees is None:
        return None
    seg_uid, segment_number, images = ("", None, ()) if quiet else image_references(items)
    return LesionRead(
        tracking_uid=tracking_uid,
        seg_uid=seg_uid,
        segment_number=segment_number,
        images=images,
        features=said.features,
        statement=said.statement,
        our_class=said.our_class,
        agrees=agrees,
    )


def _read_at(dataset: Dataset) -> str:
    date, time = str(dataset.get("ContentDate", "")), str(dataset.get("ContentTime", ""))
    if len(date) != 8 or not date.isdigit():
        return ""
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    if len(time) < 6 or not time[:6].isdigit():
        return day
    return f"{day}T{time[:2]}:{time[2:4]}:{time[4:6]}"
