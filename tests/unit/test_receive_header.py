"""Headers are read from whatever arrives, or it is refused with one line."""

from __future__ import annotations

import struct
import zlib
from copy import deepcopy
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import dcmread, examples
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from node.case import FrameReference, InstanceHeader
from node.errors import IntakeError
from node.receive import encoding
from node.receive.header import MAXIMUM_ELEMENTS, read_content_hash, read_header
from tests.receive_fixtures import (
    LABEL_MAP_SEG,
    a_document,
    a_segment_item,
    a_segmentation,
    a_source,
    an_ultrasound,
    derived_from,
    encoded,
    written,
)


def test_a_still_is_read_without_its_pixels() -> None:
    path = Path(str(examples.get_path("rgb_color")))
    header = read_header(path)
    assert (header.modality, header.rows, header.columns) == ("US", 240, 320)
    assert header.number_of_frames == 1
    assert not header.colour_flow
    assert header.pixels_sha256 == ""
    pixels = dcmread(path).PixelData
    assert read_content_hash(path) == sha256(pixels).hexdigest()


def test_the_fragments_of_a_compressed_clip_are_hashed_and_its_table() -> None:
    path = Path(str(examples.get_path("ybr_color")))
    table, *fragments = _items(dcmread(path).PixelData)
    assert len(fragments) == 30
    assert read_content_hash(path) == sha256(table + b"".join(fragments)).hexdigest()


def _items(value: bytes) -> list[bytes]:
    """The items of encapsulated pixel data (PS3.5 section A.4)."""
    items, at = [], 0
    while value[at : at + 4] == b"\xfe\xff\x00\xe0":
        (length,) = struct.unpack("<L", value[at + 4 : at + 8])
        items.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return items


def test_the_masks_of_a_seg_are_hashed_with_its_header(tmp_path: Path) -> None:
    path = written(tmp_path, a_segmentation([derived_from(a_source("1.2.9", 7), segment=1)]))
    assert len(read_header(path).pixels_sha256) == 64
    assert read_header(path).pixels_sha256 == read_content_hash(path)


def test_a_compressed_clip_tells_its_frames() -> None:
    header = read_header(Path(str(examples.get_path("ybr_color"))))
    assert header.number_of_frames == 30
    assert header.transfer_syntax_uid == "1.2.840.10008.1.2.4.50"


def test_a_colour_flow_region_is_noticed() -> None:
    assert read_header(Path(str(examples.get_path("palette_color")))).colour_flow


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"UltrasoundColorDataPresent": 1}, True),
        ({"UltrasoundColorDataPresent": 0}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0011"]}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0001"]}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SMALL PARTS", "ZZZZ"]}, False),
    ],
)
def test_colour_flow_is_what_the_header_says(
    tmp_path: Path, elements: dict[str, object], expected: bool
) -> None:
    assert read_header(written(tmp_path, an_ultrasound(**elements))).colour_flow is expected


def test_a_header_survives_its_json(tmp_path: Path) -> None:
    seg = a_segmentation([derived_from(a_source("1.2.9", 7), segment=1)])
    header = read_header(written(tmp_path, seg))
    assert InstanceHeader.from_json(header.to_json()) == header


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_pixel_hash_does_not_depend_on_the_byte_order(tmp_path: Path, syntax: str) -> None:
    dataset = an_ultrasound(BitsAllocated=16, BitsStored=16, HighBit=15, Columns=3)
    dataset["PixelData"].VR = "OW"
    swapped = deepcopy(dataset)
    if syntax == ExplicitVRBigEndian:
        words = struct.unpack("<12H", dataset.PixelData)
        swapped.PixelData = struct.pack(">12H", *words)
    plain = read_content_hash(written(tmp_path, dataset, ExplicitVRLittleEndian))
    other = read_content_hash(written(tmp_path, swapped, syntax))
    assert plain == other


def test_a_document_is_hashed_alike_in_every_uncompressed_syntax(tmp_path: Path) -> None:
    document = a_document()
    paths = [
        written(tmp_path, document, syntax)
        for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    ]
    hashes = {read_header(path).pixels_sha256 for path in paths}
    assert len(hashes) == 1
    assert hashes == {read_content_hash(path) for path in paths}
    assert hashes != {read_header(written(tmp_path, a_document("another"))).pixels_sha256}


def test_segments_get_the_frames_that_their_own_frames_derive_from(tmp_path: Path) -> None:
    seg = a_segmentation(
        [
            derived_from(a_source("1.2.9", 7), segment=1),
            derived_from(a_source("1.2.9", 8), segment=2),
            derived_from(a_source("1.2.8"), segment=2),
        ],
        [a_segment_item(1, TrackingUID="1.2.77", TrackingID="T"), a_segment_item(2)],
    )
    first, second = read_header(written(tmp_path, seg)).segments
    assert first.sources == (FrameReference("1.2.9", 7),)
    assert second.sources == (FrameReference("1.2.9", 8), FrameReference("1.2.8", 1))
    assert (first.tracking_uid, first.tracking_id, first.label) == ("1.2.77", "T", "Lesion 1")
    assert first.type is not None
    assert first.type.value == "4147007"


def test_a_fractional_seg_may_keep_everything_in_the_shared_groups(tmp_path: Path) -> None:
    shared = derived_from(a_source("1.2.9"), segment=1)
    seg = a_segmentation([Dataset()], shared=shared, SegmentationType="FRACTIONAL")
    (segment,) = read_header(written(tmp_path, seg)).segments
    assert segment.sources == (FrameReference("1.2.9"),)


def test_a_label_map_frame_belongs_to_every_described_segment(tmp_path: Path) -> None:
    seg = a_segmentation(
        [derived_from(a_source("1.2.9", 2))],
        [a_segment_item(0), a_segment_item(1), a_segment_item(2)],
        SOPClassUID=LABEL_MAP_SEG,
        SegmentationType="LABELMAP",
    )
    segments = read_header(written(tmp_path, seg)).segments
    assert [segment.number for segment in segments] == [1, 2]  # 0 is the background
    assert {segment.sources for segment in segments} == {(FrameReference("1.2.9", 2),)}


def listing(*uids: str) -> Dataset:
    """Return an item of the Referenced Series Sequence."""
    series = Dataset()
    series.SeriesInstanceUID = "1.2.3.4"
    series.ReferencedInstanceSequence = [a_source(uid) for uid in uids]
    return series


def test_a_seg_without_derivation_lies_on_the_only_instance_it_lists(tmp_path: Path) -> None:
    seg = a_segmentation([derived_from(segment=1)], ReferencedSeriesSequence=[listing("1.2.9")])
    (segment,) = read_header(written(tmp_path, seg)).segments
    assert segment.sources == (FrameReference("1.2.9"),)


def test_a_seg_without_derivation_that_lists_two_instances_lies_on_neither(tmp_path: Path) -> None:
    series = listing("1.2.9", "1.2.8")
    seg = a_segmentation([derived_from(segment=1)], ReferencedSeriesSequence=[series])
    header = read_header(written(tmp_path, seg))
    assert header.segments[0].sources == ()
    assert header.references == ("1.2.9", "1.2.8")


def test_references_to_studies_and_procedure_steps_are_left_out(tmp_path: Path) -> None:
    dataset = an_ultrasound(
        ReferencedStudySequence=[a_source("1.2.50")],
        ReferencedPerformedProcedureStepSequence=[a_source("1.2.51")],
        SourceImageSequence=[a_source("1.2.52"), a_source("1.2.52")],
    )
    assert read_header(written(tmp_path, dataset)).references == ("1.2.52",)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"])
@pytest.mark.parametrize("value", ["", "../../etc/passwd", "1.2/3"])
def test_an_instance_without_a_usable_uid_is_refused(
    tmp_path: Path, keyword: str, value: str
) -> None:
    dataset = an_ultrasound()
    data = encoded(dataset)
    tag = {"SOPClassUID": 0x16, "SOPInstanceUID": 0x18, "StudyInstanceUID": 0x0D}[keyword]
    group = 0x20 if keyword == "StudyInstanceUID" else 0x08
    old = str(dataset[keyword].value)
    padded = old.encode() + b"\0" * (len(old) % 2)
    head = struct.pack("<HH2sH", group, tag, b"UI", len(padded))
    replacement = value.encode().ljust(len(padded), b"\0")[: len(padded)]
    path = tmp_path / "hostile.dcm"
    assert head + padded in data
    path.write_bytes(data.replace(head + padded, head + replacement))
    with pytest.raises(IntakeError, match=keyword):
        read_header(path)


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(132), b"\xff" * 4096])
def test_what_is_no_dicom_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(data)
    with pytest.raises(IntakeError, match="no DICOM file"):
        read_header(path)


def test_truncated_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.dcm"
    path.write_bytes(encoded(an_ultrasound())[:-5])
    with pytest.raises(IntakeError, match="5 bytes too early"):
        read_header(path)


def test_every_truncation_is_a_refusal_or_a_header_never_another_error(tmp_path: Path) -> None:
    data = encoded(a_segmentation([derived_from(a_source("1.2.9"), segment=1)]))
    path = tmp_path / "cut.dcm"
    refused = 0
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        try:
            read_header(path)
        except IntakeError:
            refused += 1
    assert refused > len(data) // 14


def nested(depth: int) -> bytes:
    """Return a sequence that holds itself so many times, with undefined lengths."""
    opening = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return opening * depth + closing * depth


@pytest.mark.parametrize("depth", [40, 100_000])
def test_sequences_that_nest_too_deeply_are_refused(tmp_path: Path, depth: int) -> None:
    data = encoded(an_ultrasound())
    start = data.index(struct.pack("<HH2s", 0x0010, 0x0020, b"LO"))
    path = tmp_path / "deep.dcm"
    path.write_bytes(data[:start] + nested(depth) + data[start:])
    with pytest.raises(IntakeError, match="nested"):
        read_header(path)


def test_a_data_set_of_endless_elements_is_refused(tmp_path: Path) -> None:
    data = encoded(an_ultrasound())
    start = data.index(struct.pack("<HH2s", 0x0010, 0x0020, b"LO"))
    swarm = b"".join(
        struct.pack("<HH2sH", 0x0009, number, b"LO", 0) for number in range(MAXIMUM_ELEMENTS + 10)
    )
    path = tmp_path / "swarm.dcm"
    path.write_bytes(data[:start] + swarm + data[start:])
    with pytest.raises(IntakeError, match="elements"):
        read_header(path)


def test_wrong_value_representations_count_as_absent(tmp_path: Path) -> None:
    data = encoded(an_ultrasound(NumberOfFrames=7, PatientAge="045Y"))
    rows = struct.pack("<HH2sH", 0x0028, 0x0010, b"US", 2)
    assert rows in data
    data = data.replace(rows, struct.pack("<HH2sH", 0x0028, 0x0010, b"FD", 2))
    frames = struct.pack("<HH2sH", 0x0028, 0x0008, b"IS", 2) + b"7 "
    assert frames in data
    path = tmp_path / "odd.dcm"
    path.write_bytes(data.replace(frames, frames[:-2] + b"x "))
    header = read_header(path)
    assert (header.rows, header.number_of_frames, header.columns) == (0, 1, 6)


def test_odd_dates_are_kept_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, an_ultrasound(PatientBirthDate="00000000"))
    assert read_header(path).patient_birth_date == "00000000"


def test_control_characters_and_length_do_not_reach_the_database(tmp_path: Path) -> None:
    data = encoded(an_ultrasound(PatientID="A" * 60, StudyDescription="one\ttwo"))
    path = tmp_path / "control.dcm"
    path.write_bytes(data.replace(b"A" * 60, b"B\0" + b"A" * 58))
    header = read_header(path)
    assert header.patient_id == "B " + "A" * 58
    assert header.study_description == "one two"


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 100", "Müller"), ("ISO_IR 192", "王小東"), ("", "Plain")]
)
def test_text_is_decoded_by_its_character_set(tmp_path: Path, charset: str, name: str) -> None:
    dataset = an_ultrasound(SpecificCharacterSet=charset, StudyDescription=name)
    assert read_header(written(tmp_path, dataset)).study_description == name


def test_a_large_private_value_is_not_loaded(tmp_path: Path) -> None:
    dataset = an_ultrasound()
    dataset.add_new(0x00091001, "OB", bytes(3 << 20))
    assert read_header(written(tmp_path, dataset)).rows == 4


def test_a_deflated_data_set_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, an_ultrasound(), DeflatedExplicitVRLittleEndian)
    assert read_header(path).columns == 6


def test_a_deflate_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_INFLATED_BYTES", 8 << 20)
    data = encoded(an_ultrasound(), DeflatedExplicitVRLittleEndian)
    start = 132 + 12 + struct.unpack("<L", data[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    bomb = b"".join(packer.compress(zeros) for _ in range(9)) + packer.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(data[:start] + bomb)
    with pytest.raises(IntakeError, match="exceeds 8 MiB"):
        read_header(path)
