"""The table of attacks: the data set of each, and what the receiver answers and records."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from tests.receive_fixtures import (
    a_segment_item,
    a_segmentation,
    a_source,
    an_ultrasound,
    derived_from,
)

STORED: Final = 0x0000
MISMATCH: Final = 0xA900
NOT_UNDERSTOOD: Final = 0xC000
UID: Final = "1.2.826.0.1.77"


@dataclass(frozen=True, slots=True)
class Attack:
    """One data set that is not as it should be.

    Attributes:
        status: Of the C-STORE answer.
        event: The word in the instance ledger.
        uid: As announced.
    """

    name: str
    data_set: bytes | None
    status: int = NOT_UNDERSTOOD
    event: str = "refused"
    kind: str = "US"
    uid: str = UID
    syntax: str = ExplicitVRLittleEndian


def body(dataset: Dataset) -> bytes:
    """Encode a data set without File Meta Information, in Explicit VR Little Endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Encode an element of any length, also one that is not its value's."""
    length = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in {b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC"}:
        return head + struct.pack("<HL", 0, length) + value
    return head + struct.pack("<H", length) + value


def an_image(**elements: object) -> Dataset:
    """An ultrasound still under the announced UID."""
    return an_ultrasound(**({"SOPInstanceUID": UID} | elements))


def spliced(tag: int, raw: bytes, dataset: Dataset | None = None) -> bytes:
    """Put an encoded element where it belongs in a good data set."""
    good = an_image() if dataset is None else dataset
    before, after = Dataset(), Dataset()
    for one in good:
        (before if int(one.tag) < tag else after).add(one)
    return body(before) + raw + body(after)


def spliced_into(path: Path, tag: int, raw: bytes) -> None:
    """Replace an element of a file by encoded bytes."""
    dataset = dcmread(path)
    before, after = Dataset(), Dataset()
    for one in dataset:
        if int(one.tag) != tag:
            (before if int(one.tag) < tag else after).add(one)
    file = BytesIO()
    file.write(bytes(128) + b"DICM")
    write_file_meta_info(file, dataset.file_meta)
    path.write_bytes(file.getvalue() + body(before) + raw + body(after))


def nested(depth: int) -> bytes:
    """Sequences of undefined length within each other."""
    begin = element(0x0040A730, b"SQ", b"", 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    end = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return spliced(0x0040A730, begin * depth + end * depth)


def _without(*keywords: str) -> bytes:
    dataset = an_image()
    for keyword in keywords:
        delattr(dataset, keyword)
    return body(dataset)


def _named(uid: bytes) -> bytes:
    dataset = an_image()
    del dataset.SOPInstanceUID
    return spliced(0x00080018, element(0x00080018, b"UI", uid + b"\0" * (len(uid) % 2)), dataset)


def _referring(count: int) -> bytes:
    return body(an_image(SourceImageSequence=[a_source(f"1.2.3.{n}") for n in range(count)]))


def _encapsulated(frame: bytes, *, closed: bool = True, **elements: object) -> bytes:
    dataset = an_image(**elements)
    del dataset.PixelData
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0) + struct.pack("<HHL", 0xFFFE, 0xE000, len(frame))
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if closed else b""
    return body(dataset) + element(0x7FE00010, b"OB", item + frame + end, 0xFFFFFFFF)


def _cut(keep: int) -> bytes:
    return body(an_image())[:-keep]


def _a_segmentation(**elements: object) -> bytes:
    frame = derived_from(a_source("1.2.3.9"), segment=1)
    return body(a_segmentation([frame], SOPInstanceUID=UID, **elements))


_LONG = "1." + "2" * 80
_PATH = "../../../../tmp/evil"

ATTACKS: Final = (
    Attack("sequences nested 1,000 deep", nested(1000)),
    Attack("sequences nested 20 deep", nested(20), STORED, "received"),
    Attack(
        "sequences that never end", spliced(0x0040A730, element(0x0040A730, b"SQ", b"", 0xFFFFFFFF))
    ),
    Attack(
        "an item delimiter without an item",
        spliced(0x0040A730, struct.pack("<HHL", 0xFFFE, 0xE00D, 0)),
        STORED,
        "received",
    ),
    Attack(
        "a megabyte of private element",
        spliced(0x00091001, element(0x00091001, b"UN", bytes(1 << 20))),
        STORED,
        "received",
    ),
    Attack(
        "a private element without creator",
        spliced(0x00091001, element(0x00091001, b"LO", b"secret")),
        STORED,
        "received",
    ),
    Attack(
        "a private sequence as UN without length",
        spliced(
            0x00091001,
            element(0x00091001, b"UN", struct.pack("<HHL", 0xFFFE, 0xE0DD, 0), 0xFFFFFFFF),
        ),
        STORED,
        "received",
    ),
    Attack(
        "a value of odd length",
        spliced(0x00081030, element(0x00081030, b"LO", b"odd")),
        STORED,
        "received",
    ),
    Attack(
        "a number of odd length",
        spliced(0x00280010, element(0x00280010, b"US", b"\4\0\0")),
        STORED,
        "received",
    ),
    Attack(
        "a value that ends after the data set",
        spliced(0x00100010, element(0x00100010, b"UT", b"", 0x7FFFFFF0)),
    ),
    Attack("a value of 4 GiB", spliced(0x00091001, element(0x00091001, b"OB", b"", 0xFFFFFFFE))),
    Attack(
        "numbers as text",
        spliced(0x00280010, element(0x00280010, b"LO", b"four"), an_image(Rows=None)),
        STORED,
        "received",
    ),
    Attack(
        "text as numbers",
        spliced(0x00100020, element(0x00100020, b"FD", bytes(8)), an_image(PatientID=None)),
        STORED,
        "received",
    ),
    Attack(
        "a VR that does not exist",
        spliced(0x00081030, element(0x00081030, b"ZZ", b"what")),
        STORED,
        "received",
    ),
    Attack("truncated pixel data", _cut(10)),
    Attack(
        "no pixel data where the header has an image", _without("PixelData"), STORED, "received"
    ),
    Attack(
        "fragments that end in the middle",
        _encapsulated(b"\xff\xd8" + bytes(98), closed=False),
        syntax=JPEGBaseline8Bit,
    ),
    Attack(
        "a fragment longer than the rest",
        _encapsulated(b"")[:-16] + struct.pack("<HHL", 0xFFFE, 0xE000, 1 << 30),
        syntax=JPEGBaseline8Bit,
    ),
    Attack(
        "a JPEG of 4 gigapixels in 100 bytes",
        _encapsulated(b"\xff\xd8" + bytes(98), Rows=65535, Columns=65535),
        STORED,
        "received",
        syntax=JPEGBaseline8Bit,
    ),
    Attack("two billion frames", body(an_image(NumberOfFrames=2147483647)), STORED, "received"),
    Attack("a UID that is a path", _named(_PATH.encode()), uid=_PATH),
    Attack("a UID that is a path, announced as a good one", _named(_PATH.encode())),
    Attack("a UID of 82 characters", _named(_LONG.encode()), uid=_LONG),
    Attack("a UID with a NUL inside", _named(b"1.2\0/x"), uid="1.2"),
    Attack("a UID that is SQL", _named(b"1.2'; DROP TABLE instance;--")),
    Attack("a blank UID", _named(b""), uid=""),
    Attack("two UIDs", _named(b"1.2.826.0.1.77\\1.2.3"), STORED, "received"),
    Attack("no study", _without("StudyInstanceUID")),
    Attack("another instance than the announced one", body(an_ultrasound()), MISMATCH),
    Attack(
        "another class than the announced one",
        body(an_image(SOPClassUID="1.2.840.10008.5.1.4.1.1.7")),
        MISMATCH,
    ),
    Attack(
        "a character set that does not exist",
        spliced(0x00080005, element(0x00080005, b"CS", b"ISO_IR 999"), an_image(PatientName="A^B")),
        STORED,
        "received",
    ),
    Attack(
        "bytes that are no UTF-8",
        spliced(
            0x00100010,
            element(0x00100010, b"PN", b"\xff\xfe\x80\xc0^\xf5 "),
            an_image(SpecificCharacterSet="ISO_IR 192"),
        ),
        STORED,
        "received",
    ),
    Attack(
        "escape sequences without end",
        spliced(
            0x00100010,
            element(0x00100010, b"PN", b"\x1b$B\x1b$B\x1b(\x1b$)C" * 5),
            an_image(SpecificCharacterSet=["", "ISO 2022 IR 87"]),
        ),
        STORED,
        "received",
    ),
    Attack(
        "dates of zeros",
        body(an_image(StudyDate="00000000", PatientBirthDate="00000000", PatientAge="000Y")),
        STORED,
        "received",
    ),
    Attack(
        "dates that are none",
        spliced(0x00080020, element(0x00080020, b"DA", b"20261399")),
        STORED,
        "received",
    ),
    Attack(
        "a patient's name of 60 KiB",
        spliced(0x00100010, element(0x00100010, b"PN", b"A" * 60000)),
        STORED,
        "received",
    ),
    Attack(
        "30,000 elements",
        spliced(
            0x00091001,
            b"".join(element(0x00091000 + n % 0xEFFF, b"LO", b"x ") for n in range(30000)),
        ),
    ),
    Attack("10,500 references", _referring(10500)),
    Attack(
        "a File Meta Information within the data set",
        element(0x00020010, b"UI", b"1.2.840.10008.1.2\0") + body(an_image()),
    ),
    Attack("nothing but zeros", bytes(5000)),
    Attack("noise", bytes((7 * n * n + 13 * n) & 255 for n in range(5000))),
    Attack("an empty data set", b""),
    Attack("a request without a data set", None, event=""),
    Attack(
        "a SEG of 1,000 segments",
        body(
            a_segmentation(
                [derived_from(a_source("1.2.3.9"), segment=1)],
                [a_segment_item(n) for n in range(1, 1001)],
                SOPInstanceUID=UID,
            )
        ),
        STORED,
        "received",
        kind="SEG",
    ),
    Attack(
        "a SEG whose frames name no segment",
        _a_segmentation(PerFrameFunctionalGroupsSequence=[]),
        STORED,
        "received",
        kind="SEG",
    ),
    Attack("a report of 2,000 nested items", nested(2000), kind="SR"),
)
