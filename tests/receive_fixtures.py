"""Instances to send, and an inbox and a receiver to send them to."""

from __future__ import annotations

import dataclasses
import io
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from sqlalchemy import Connection, Engine, text

from node.audit.schema import upgrade
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.config import Settings, load_settings
from node.database import open_engine
from node.receive.inbox import Inbox
from node.receive.parser import HeaderParser
from node.receive.scp import Receiver

US = "1.2.840.10008.5.1.4.1.1.6.1"
US_RETIRED = "1.2.840.10008.5.1.4.1.1.6"
US_MULTIFRAME_RETIRED = "1.2.840.10008.5.1.4.1.1.3"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEG = "1.2.840.10008.5.1.4.1.1.66.7"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"


def an_ultrasound(**elements: Any) -> Dataset:
    """Return a US still of 4 rows and 6 columns; `elements` set or replace by keyword."""
    dataset = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": US,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "US",
        "PatientID": "P1",
        "PatientBirthDate": "19700101",
        "Manufacturer": "Example Scanners",
        "ManufacturerModelName": "One",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 4,
        "Columns": 6,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": bytes(range(24)),
    }
    for keyword, value in (values | elements).items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OB"
    return dataset


def a_document(text_value: str = "a finding", **elements: Any) -> Dataset:
    """Return a Basic Text SR with one text item."""
    dataset = an_ultrasound(SOPClassUID=BASIC_TEXT_SR, Modality="SR", **elements)
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(dataset, keyword)
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "TEXT"
    item.TextValue = text_value
    dataset.ContentSequence = [item]
    return dataset


def a_source(uid: str, *frames: int) -> Dataset:
    """Return an item that refers to an instance, to some of its frames if given."""
    item = Dataset()
    item.ReferencedSOPClassUID = US
    item.ReferencedSOPInstanceUID = uid
    if frames:
        item.ReferencedFrameNumber = list(frames)
    return item


def derived_from(*sources: Dataset, segment: int | None = None) -> Dataset:
    """Return functional groups: Derivation Image and, if given, Segment Identification."""
    group = Dataset()
    if sources:
        derivation = Dataset()
        derivation.SourceImageSequence = list(sources)
        group.DerivationImageSequence = [derivation]
    if segment is not None:
        identification = Dataset()
        identification.ReferencedSegmentNumber = segment
        group.SegmentIdentificationSequence = [identification]
    return group


def a_segment_item(number: int, **elements: Any) -> Dataset:
    """Return an item of the Segment Sequence: a mass."""
    item = Dataset()
    item.SegmentNumber = number
    item.SegmentLabel = f"Lesion {number}"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "4147007", "SCT", "Mass"
    item.SegmentedPropertyTypeCodeSequence = [code]
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def a_segmentation(
    frames: Sequence[Dataset],
    segments: Sequence[Dataset] | None = None,
    shared: Dataset | None = None,
    **elements: Any,
) -> Dataset:
    """Return a SEG with the given per-frame functional groups."""
    dataset = an_ultrasound(
        **({"SOPClassUID": SEG, "Modality": "SEG", "SegmentationType": "BINARY"} | elements)
    )
    dataset.NumberOfFrames = max(1, len(frames))
    dataset.SegmentSequence = list(segments or [a_segment_item(1)])
    dataset.PerFrameFunctionalGroupsSequence = list(frames)
    dataset.SharedFunctionalGroupsSequence = [shared or Dataset()]
    return dataset


def encoded(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the data set as a Part 10 file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", US)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2")
    copy = Dataset(dataset)
    copy.file_meta = meta
    buffer = io.BytesIO()
    dcmwrite(buffer, copy, enforce_file_format=True)
    return buffer.getvalue()


def written(folder: Path, dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write the data set as a Part 10 file under a name of its own."""
    path = folder / f"{generate_uid()}.dcm"
    path.write_bytes(encoded(dataset, transfer_syntax))
    return path


@dataclasses.dataclass
class Desk:
    """An inbox with everything around it; `enqueued` holds the rows that pairing would see."""

    settings: Settings
    inbox: Inbox
    engine: Engine
    blobs: BlobStore
    enqueued: list[int]

    def spool(self, data: bytes) -> Path:
        """Put bytes into the spool, as the network or STOW-RS would."""
        path = self.blobs.spool / f"{generate_uid()}.part"
        path.write_bytes(data)
        return path

    def accept(self, dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Any:
        """Spool and accept a data set."""
        return self.inbox.accept(self.spool(encoded(dataset, transfer_syntax)), "A@127.0.0.1")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def events(self) -> list[str]:
        """The words of the instance ledger, oldest first."""
        return [row[0] for row in self.rows("SELECT event FROM ledger_instance ORDER BY id")]

    def standings(self) -> list[str]:
        """The standings of all instance rows, oldest first."""
        return [row[0] for row in self.rows("SELECT standing FROM instance ORDER BY id")]

    def spooled(self) -> list[Path]:
        """What lies in the spool."""
        return [path for path in self.blobs.spool.rglob("*") if path.is_file()]


def a_desk_in(
    folder: Path, parser: HeaderParser, limits: Mapping[str, Any] | None = None, **node: Any
) -> Desk:
    """Set up an inbox on SQLite in a folder; `node` and `limits` are settings of these sections."""
    section = {"port": 0, "data_dir": folder, "minimum_free_mib": 0} | node
    settings = load_settings(node=section, limits=dict(limits or {}))
    engine = open_engine(settings.database_url)
    upgrade(engine)
    blobs = BlobStore(folder / "blobs")
    enqueued: list[int] = []

    def enqueue(connection: Connection, instances: Sequence[int]) -> None:
        assert connection.in_transaction()
        enqueued.extend(instances)

    inbox = Inbox(settings.node, blobs, engine, Trail("receive"), parser, enqueue)
    return Desk(settings, inbox, engine, blobs, enqueued)


@contextmanager
def listening(desk: Desk, **receiver: Any) -> Iterator[tuple[str, int]]:
    """A running receiver; yields where it listens."""
    node = Receiver(desk.settings, desk.inbox, desk.engine, Trail("receive"), **receiver)
    address = node.start()
    try:
        yield address
    finally:
        node.stop(drain_s=5)


def an_associate_request(calling: str = "RAW", called: str = "CRDL") -> bytes:
    """Return an A-ASSOCIATE-RQ that proposes Verification and US (PS3.8 section 9.3.2)."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(body)) + body

    def context(number: int, abstract: bytes) -> bytes:
        syntax = item(0x40, b"1.2.840.10008.1.2.1")
        return item(0x20, struct.pack("Bxxx", number) + item(0x30, abstract) + syntax)

    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4.5")
    body = struct.pack(">Hxx", 1) + called.encode().ljust(16) + calling.encode().ljust(16)
    body += bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    body += context(1, b"1.2.840.10008.1.1") + context(3, US.encode()) + item(0x50, user)
    return struct.pack(">BxL", 1, len(body)) + body


def closed_within(connection: socket.socket, seconds: float) -> bool:
    """Say whether the other side closes the connection within so many seconds."""
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True
