"""The modules that every object of a report shares: patient, study, series, equipment."""

from __future__ import annotations

import struct
import tomllib
from contextlib import suppress
from copy import deepcopy
from functools import cache
from importlib import resources
from io import BytesIO
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import PersonName

from node.report.request import ReportRequest
from sr_templates.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME

_UNREADABLE: Final = (
    *(ValueError, TypeError, AttributeError, LookupError, NotImplementedError, struct.error),
    BytesLengthException,
)
_TEXT: Final = frozenset({"PN", "LO", "SH", "LT", "ST", "UC", "UT"})


def patient_and_study(request: ReportRequest) -> Dataset:
    """Start an object in the patient's own study, its text in UTF-8 (ISO_IR 192).

    The modules come from the newest header of the first assessed image of the SEG's study, and
    from the SEG itself where there is none.
    """
    source = _identifying_header(request)
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyInstanceUID = request.seg.StudyInstanceUID
    for module in _modules().values():
        for keyword in module["type2"]:
            setattr(dataset, keyword, "")
    for keyword in patient_modules():
        if keyword in source:
            # A weight of "heavy" cannot be copied; it must not cost the patient the report.
            with suppress(*_UNREADABLE):
                dataset.add(_in_unicode(source[keyword]))
    return dataset


def patient_modules() -> tuple[str, ...]:
    """Return the keywords of the patient and study modules that every object carries."""
    return tuple(
        keyword
        for module in _modules().values()
        for keyword in (*module["type2"], *module["optional"])
    )


def add_series(
    dataset: Dataset, request: ReportRequest, kind: str, number: int, description: str
) -> None:
    """Add series, equipment and instance values that all objects have in common.

    Args:
        dataset: To be completed.
        request: The report's.
        kind: "sr", "sc", "pdf", ...; names the series UID.
        number: Series Number (0020,0011).
        description: Series Description, at most 64 characters.
    """
    day, time = request.when.strftime("%Y%m%d"), request.when.strftime("%H%M%S.%f")
    dataset.SeriesInstanceUID = request.uids(f"{kind}-series")
    dataset.SeriesNumber = number
    dataset.SeriesDescription = description
    dataset.SeriesDate, dataset.SeriesTime = day, time
    dataset.ContentDate, dataset.ContentTime = day, time
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = day, time
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MANUFACTURER_MODEL_NAME
    bundle = f"bundle {request.bundle.name} {request.bundle.version}"
    dataset.SoftwareVersions = [request.software_version, bundle[:64]]


def part10(dataset: Dataset) -> bytes:
    """Encode a dataset as a Part 10 file (PS3.10 section 7) in Explicit VR Little Endian."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@cache
def _modules() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((resources.files("node.report") / "modules.toml").read_text("utf-8"))


def _identifying_header(request: ReportRequest) -> Dataset:
    for result in request.findings:
        frame = result.evidence.frame
        image = None if frame is None else request.images.get(frame.sop_instance_uid)
        if image is not None and image.StudyInstanceUID == request.seg.StudyInstanceUID:
            return image
    return request.seg


def _in_unicode(element: DataElement) -> DataElement:
    """Copy an element with its text decoded, so that it can be written in another charset."""
    value: Any = element.value
    if element.VR == "SQ":
        value = Sequence([_item_in_unicode(item) for item in value])
    elif element.VR in _TEXT and value is not None:
        many = not isinstance(value, str | PersonName)
        value = [str(part) for part in value] if many else str(value)
    else:
        value = deepcopy(value)
    return DataElement(element.tag, element.VR, value)


def _item_in_unicode(item: Dataset) -> Dataset:
    copy = Dataset()
    for element in item:
        if element.keyword != "SpecificCharacterSet":
            copy.add(_in_unicode(element))
    return copy
