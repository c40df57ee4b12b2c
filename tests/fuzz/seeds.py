"""Good inputs that mutation begins with, a few for each target."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.report import build_report
from tests import receive_fixtures as small
from tests.fuzz.targets import SYNTAXES
from tests.report_fixtures import a_request, a_seg, an_image

FOUND = Path(__file__).parents[1] / "reference" / "fuzz"
"""Inputs that once were more than a target could take; a folder for each target."""


def in_syntax(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Encode a data set for a target: the syntax as the first byte."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    copy = Dataset({t: e for t, e in dataset.items() if t.group > 2})
    write_dataset(buffer, copy)
    return bytes([SYNTAXES.index(syntax)]) + buffer.getvalue()


def datasets() -> list[Dataset]:
    """Return an image, a segmentation and a document, as small as they can be."""
    image = small.an_ultrasound(PatientName="A^B", PatientAge="040Y", ImageType=["ORIGINAL"] * 4)
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType = 1, 2
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.01
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 5, 3
    image.SequenceOfUltrasoundRegions = [region]
    frame = small.derived_from(small.a_source("1.2.3.5", 1), segment=1)
    segmentation = small.a_segmentation([frame], BitsAllocated=1, BitsStored=1, HighBit=0)
    segmentation.PixelData = b"\x0f\x00\xff\x00"
    labels = small.a_segmentation([frame], SOPClassUID=small.LABEL_MAP_SEG)
    return [image, segmentation, labels, small.a_document()]


def reports() -> list[Dataset]:
    """Return reports that a radiologist could have written."""
    report = dcmread(io.BytesIO(build_report(a_request())[0].data))
    report.Manufacturer = "Someone"
    report.ManufacturerModelName = "Else"
    person = Dataset()
    person.RelationshipType, person.ValueType = "HAS OBS CONTEXT", "PNAME"
    person.PersonName = "Reader^A"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "121008", "DCM"
    code.CodeMeaning = "Person Observer Name"
    person.ConceptNameCodeSequence = [code]
    report.ContentSequence = [person, *report.ContentSequence]
    return [report]


def seeds(target: str) -> Sequence[bytes]:
    """Return good inputs of a target, and those that once were too much for it."""
    once = [path.read_bytes() for path in sorted((FOUND / target).glob("*"))]
    return [*once, *_good(target)]


def _good(target: str) -> list[bytes]:
    uncompressed = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
    match target:
        case "header" | "image":
            return [in_syntax(one, syntax) for one in datasets() for syntax in uncompressed]
        case "file":
            files = [small.encoded(one) for one in datasets()]
            wheel = get_testdata_file("examples_ybr_color.dcm", download=False)
            return [*files, Path(str(wheel)).read_bytes()[:4096]]
        case "segmentation":
            made = a_seg(an_image(), segments=2)
            return [in_syntax(one) for one in (*datasets(), made)]
        case "report":
            return [in_syntax(one) for one in (*reports(), small.a_document())]
        case "multipart":
            part = b"\r\n--fuzz\r\nContent-Type: application/dicom\r\n\r\n" + bytes(50)
            return [b"\x07" + part + part + b"\r\n--fuzz--\r\n", b"\x01--fuzz\r\n\r\nx\r\n--fuzz--"]
    raise ValueError(f"no such target: {target}")
