"""Reading the header of a received instance, whatever its bytes are.

It runs in a child process with bounded memory and time (`parser`), since a few bytes can ask for
gigabytes.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag

from node.case import InstanceHeader
from node.errors import IntakeError
from node.receive import attributes as read
from node.receive.encoding import (
    UNDEFINED_LENGTH,
    Encoding,
    open_data_set,
    pixel_hash,
    require_pixels,
)
from node.receive.references import references
from node.receive.segments import segments

MAXIMUM_ELEMENTS: Final = 20_000

# Segmentation and Label Map Segmentation Storage (PS3.4 table B.5-1)
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # Float, Double Float, Pixel Data
_DOCUMENTS = ("ContentSequence", "EncapsulatedDocument", "GraphicAnnotationSequence")
_LARGE_VALUE_BYTES = 1 << 20  # larger values are read only where they are needed
_LARGE_AND_NEEDED = {
    tag_for_keyword(keyword)
    for keyword in (*_DOCUMENTS, "PerFrameFunctionalGroupsSequence", "SegmentSequence")
}
_COLOUR_FLOW_REGION = 2  # Region Data Type (0018,6014), PS3.3 section C.8.5.5.1.2
_COLOUR_FLOW_BITS = 0x0010 | 0x0100  # Color Doppler, Color Power Mode: section C.8.5.6.1.1


def read_header(path: Path) -> InstanceHeader:
    """Read what the node remembers of an instance; the pixels of an image are only counted.

    The masks of a SEG are hashed, since its reports are named after them, and so is the document
    of an instance without pixels.

    Args:
        path: A Part 10 file (PS3.10 section 7.1).

    Raises:
        IntakeError: If it is no DICOM, lacks what identifies an instance, or is built to harm.
    """
    with _readable(path) as (file, encoding):
        dataset = _read(file, encoding)
        is_mask = read.required_uid(dataset, "SOPClassUID") in _SEGMENTATIONS
        is_image = _at_pixels(file) and not is_mask
        if is_image:
            require_pixels(file, encoding)
        content = "" if is_image else _content_hash(file, encoding, dataset)
        return _header(dataset, encoding, content)


def read_content_hash(path: Path) -> str:
    """Hash what an instance says whatever its header: its pixels, else its document.

    The document is the Content Sequence, Encapsulated Document or Graphic Annotation Sequence, in
    Explicit VR Little Endian.

    Args:
        path: A Part 10 file that `read_header` could read.

    Returns:
        A SHA-256, "" of an instance that has neither.

    Raises:
        IntakeError: See `read_header`.
    """
    with _readable(path) as (file, encoding):
        return _content_hash(file, encoding, _read(file, encoding))


@contextmanager
def _readable(path: Path) -> Iterator[tuple[BinaryIO, Encoding]]:
    """Open a file at its data set; whatever is wrong with it becomes an `IntakeError`."""
    try:
        file, encoding = open_data_set(path)
        with file:
            yield file, encoding
    except RecursionError as error:
        raise IntakeError("sequences are nested too deeply") from error
    except MemoryError as error:
        raise IntakeError("the header needs more memory than a header may") from error
    except (OSError, EOFError, struct.error, ArithmeticError, BytesLengthException) as error:
        raise IntakeError(f"the data set cannot be read ({type(error).__name__})") from error
    except (ValueError, TypeError, AttributeError, LookupError, NotImplementedError) as error:
        raise IntakeError(f"the data set is damaged ({type(error).__name__})") from error


def _read(file: BinaryIO, encoding: Encoding) -> Dataset:
    """Read up to the pixel data, where the file is left.

    Of the values above `_LARGE_VALUE_BYTES` only the needed are read.
    """
    elements = 0

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal elements
        del vr, length
        elements += 1
        if elements > MAXIMUM_ELEMENTS:
            raise IntakeError(f"the data set has more than {MAXIMUM_ELEMENTS} elements")
        return int(tag) in _PIXEL_DATA

    dataset = read_dataset(
        file,
        encoding.implicit,
        encoding.little,
        stop_when=at_pixels,
        defer_size=_LARGE_VALUE_BYTES,
    )
    pixels = file.tell()
    _load_what_is_needed(file, dataset)
    file.seek(pixels)
    return dataset


def _at_pixels(file: BinaryIO) -> bool:
    """Tell whether the data set goes on; `_read` stops where its pixels begin."""
    if not file.read(1):
        return False
    file.seek(-1, io.SEEK_CUR)
    return True


def _content_hash(file: BinaryIO, encoding: Encoding, dataset: Dataset) -> str:
    return pixel_hash(file, encoding) if _at_pixels(file) else _document_hash(dataset)


def _load_what_is_needed(file: BinaryIO, dataset: Dataset) -> None:
    """Fill in the large sequences and drop the other large values.

    Raises:
        IntakeError: If the file ends within a value.
    """
    size = file.seek(0, io.SEEK_END)
    for tag in list(dataset.keys()):
        raw: object = dataset.get_item(tag, keep_deferred=True)
        if not isinstance(raw, RawDataElement) or raw.length in (0, UNDEFINED_LENGTH):
            continue
        if raw.value_tell + raw.length > size:
            raise IntakeError(f"the data set ends within {tag}")
        if raw.value is not None:
            continue
        if int(tag) in _LARGE_AND_NEEDED:
            file.seek(raw.value_tell)
            dataset[tag] = raw._replace(value=file.read(raw.length))
        else:
            del dataset[tag]


def _header(dataset: Dataset, encoding: Encoding, pixels_sha256: str) -> InstanceHeader:
    sop_class_uid = read.required_uid(dataset, "SOPClassUID")
    return InstanceHeader(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=read.required_uid(dataset, "SOPInstanceUID"),
        study_instance_uid=read.required_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=read.required_uid(dataset, "SeriesInstanceUID"),
        transfer_syntax_uid=encoding.transfer_syntax_uid,
        modality=read.text(dataset, "Modality", 16),
        patient_id=read.text(dataset, "PatientID"),
        patient_name=read.text(dataset, "PatientName", 324),
        issuer_of_patient_id=read.text(dataset, "IssuerOfPatientID"),
        patient_birth_date=read.text(dataset, "PatientBirthDate", 16),
        patient_sex=read.text(dataset, "PatientSex", 16),
        patient_age=read.text(dataset, "PatientAge", 16),
        study_date=read.text(dataset, "StudyDate", 16),
        accession_number=read.text(dataset, "AccessionNumber"),
        study_description=read.text(dataset, "StudyDescription"),
        series_description=read.text(dataset, "SeriesDescription"),
        body_part_examined=read.text(dataset, "BodyPartExamined"),
        anatomic_region=read.code(dataset, "AnatomicRegionSequence"),
        manufacturer=read.text(dataset, "Manufacturer"),
        manufacturer_model_name=read.text(dataset, "ManufacturerModelName"),
        content_creator_name=read.text(dataset, "ContentCreatorName", 200),
        requested_priority=_requested_priority(dataset),
        rows=read.integer(dataset, "Rows"),
        columns=read.integer(dataset, "Columns"),
        number_of_frames=max(1, read.integer(dataset, "NumberOfFrames", 1)),
        colour_flow=_shows_colour_flow(dataset),
        pixels_sha256=pixels_sha256,
        segments=segments(dataset) if sop_class_uid in _SEGMENTATIONS else (),
        references=references(dataset),
    )


def _requested_priority(dataset: Dataset) -> str:
    """Return the first priority that the instance or one of its requests states."""
    requests = (dataset, *read.items(dataset, "RequestAttributesSequence"))
    stated = (read.text(request, "RequestedProcedurePriority", 16) for request in requests)
    return next(filter(None, stated), "")


def _shows_colour_flow(dataset: Dataset) -> bool:
    """Say whether Ultrasound Color Data Present, a region or Image Type value 4 says so."""
    if read.integer(dataset, "UltrasoundColorDataPresent") == 1:
        return True
    regions = read.items(dataset, "SequenceOfUltrasoundRegions")
    if any(read.integer(region, "RegionDataType") == _COLOUR_FLOW_REGION for region in regions):
        return True
    image_type = read.texts(dataset, "ImageType")
    try:
        return len(image_type) > 3 and bool(int(image_type[3], 16) & _COLOUR_FLOW_BITS)
    except ValueError:
        return False


def _encodings(dataset: Dataset) -> tuple[str, ...]:
    """The Python codecs of the Specific Character Set that the data set was read with."""
    codecs = dataset.original_character_set
    return (codecs,) if isinstance(codecs, str) else tuple(codecs)


def _document_hash(dataset: Dataset) -> str:
    for keyword in _DOCUMENTS:
        if keyword in dataset:
            part = Dataset()
            part[keyword] = dataset[keyword]
            buffer = DicomBytesIO()
            buffer.is_implicit_VR, buffer.is_little_endian = False, True
            write_dataset(buffer, part, list(_encodings(dataset)))
            return hashlib.sha256(buffer.getvalue()).hexdigest()
    return ""
