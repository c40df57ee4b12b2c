"""What is fuzzed: each target takes bytes and lets through only the errors that it may raise."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)
from pynetdicom.dsutils import create_file_meta

from models.errors import ModelsError
from models.features.clinical import ClinicalInput
from models.imaging.decoders import DECODER_FAILURES
from models.imaging.geometry import pixel_geometry
from models.imaging.masks import largest_frame, read_masks
from models.imaging.read import read_frame
from node.case import InstanceHeader
from node.errors import IntakeError
from node.receive.header import read_content_hash, read_header
from node.receive.multipart import (
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    parse_content_type,
)
from sr_templates.errors import TemplateError
from sr_templates.readings import read_report

SYNTAXES: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
)
_FOLDER = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())  # noqa: S108 - in memory
_FILE = _FOLDER / f"crdl-fuzz-{os.getpid()}.dcm"
_SEG = UID("1.2.840.10008.5.1.4.1.1.66.4")


def part10(data: bytes) -> bytes:
    """Make a file of a data set; the first byte chooses its transfer syntax.

    The File Meta Information is good, so that what is mutated is behind it.
    """
    syntax = SYNTAXES[data[0] % len(SYNTAXES)] if data else SYNTAXES[0]
    buffer = io.BytesIO()
    buffer.write(bytes(128) + b"DICM")
    meta = create_file_meta(
        sop_class_uid=_SEG, sop_instance_uid=UID("1.2.3"), transfer_syntax=UID(syntax)
    )
    write_file_meta_info(buffer, meta)
    return buffer.getvalue() + data[1:]


def header(data: bytes) -> None:
    """The header parser, on a data set."""
    _read_header(part10(data))


def file(data: bytes) -> None:
    """The header parser, on a whole file."""
    _read_header(data)


def _content_of_what_has_a_header() -> str:
    try:
        return read_content_hash(_FILE)
    except IntakeError as error:
        raise AssertionError("whoever has a header can be compared") from error


def _read_header(data: bytes) -> None:
    _FILE.write_bytes(data)
    try:
        found = read_header(_FILE)
        content = _content_of_what_has_a_header()
    except IntakeError:
        return
    finally:
        _FILE.unlink()
    assert found.pixels_sha256 in {"", content}
    assert InstanceHeader.from_json(found.to_json()) == found
    for text in (found.patient_id, found.sop_instance_uid, found.study_description):
        assert "\0" not in text
        text.encode()
    ClinicalInput.from_header(
        found.patient_age, found.patient_birth_date, found.study_date, found.patient_sex
    )


def segmentation(data: bytes) -> None:
    """The SEG reader and what finds the scale, on a data set."""
    dataset = _dataset(part10(data))
    if dataset is None:
        return
    with suppress(ModelsError):
        masks = read_masks(dataset, max_pixels=1 << 22)
        assert all(mask.mask.ndim == 2 for mask in masks)
        largest_frame(masks, masks[0].segment_number)
    rows, columns = _raster(dataset)
    with suppress(ModelsError):
        pixel_geometry(dataset, np.ones((rows, columns), dtype=bool))


def image(data: bytes) -> None:
    """The image reader, on a data set that is not compressed."""
    dataset = _dataset(part10(bytes([data[0] % 3]) + data[1:]) if data else b"")
    if dataset is None:
        return
    with suppress(ModelsError):
        read_frame(dataset, max_pixels=1 << 22)


def report(data: bytes) -> None:
    """The reader of radiologists' reports, on a data set."""
    _FILE.write_bytes(part10(data))
    try:
        read_report(_FILE)
    except TemplateError:
        pass
    finally:
        _FILE.unlink()


def multipart(data: bytes) -> None:
    """The STOW-RS parser: pieces of any size give the same parts as the whole."""
    if len(data) < 2:
        return
    parse_content_type(data.decode("latin-1"))
    size, body = 1 + data[0], data[1:]
    whole = _parts([body])
    pieces = _parts([body[at : at + size] for at in range(0, len(body), size)])
    assert whole == pieces, (whole, pieces)


def _parts(chunks: list[bytes]) -> list[object]:
    parser = MultipartParser("fuzz")
    found: list[object] = []
    try:
        for chunk in chunks:
            for event in parser.feed(chunk):
                match event:
                    case PartBegin(headers):
                        found += [dict(headers), bytearray()]
                    case PartData(piece):
                        assert isinstance(found[-1], bytearray)
                        found[-1] += piece
                    case PartEnd():
                        found.append("end")
    except MultipartError:
        return [part for part in found if part == "end"]
    return found


def _dataset(data: bytes) -> Dataset | None:
    """Read as the pipeline does; what it refuses for a named reason is None."""
    try:
        return dcmread(io.BytesIO(data))
    except (InvalidDicomError, *DECODER_FAILURES):
        return None


def _raster(dataset: Dataset) -> tuple[int, int]:
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
    except DECODER_FAILURES:
        return 8, 8
    return (rows, columns) if 0 < rows * columns < 1 << 20 else (8, 8)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "header": header,
    "file": file,
    "segmentation": segmentation,
    "image": image,
    "report": report,
    "multipart": multipart,
}
