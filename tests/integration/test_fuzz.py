"""Small fuzzing in the suite; the long runs are `python -m tests.fuzz.guided` and `.wire`."""

from __future__ import annotations

import random
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import ExplicitVRLittleEndian

from tests.attacks import an_image, body, element
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import FOUND, in_syntax, seeds
from tests.fuzz.targets import TARGETS
from tests.raw_sender import AbortedError, RawSender
from tests.receive_fixtures import Desk

_QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_KEYWORDS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SpecificCharacterSet", "PatientName"),
    *("PatientBirthDate", "PatientAge", "Rows", "Columns", "NumberOfFrames", "SegmentSequence"),
    *("PerFrameFunctionalGroupsSequence", "SequenceOfUltrasoundRegions", "ContentSequence"),
    *("BitsAllocated", "PhotometricInterpretation", "ImageType", "SegmentationType"),
)


@st.composite
def data_sets(draw: st.DrawFn) -> bytes:
    """A data set of attributes that the node reads, with values and lengths that may not fit."""
    encoded = bytearray()
    chosen = draw(st.lists(st.sampled_from(_KEYWORDS), max_size=12, unique=True))
    for keyword in sorted(chosen, key=lambda one: tag_for_keyword(one) or 0):
        own = dictionary_VR(keyword).split(" ")[0].encode()
        vr = draw(st.sampled_from([own, own, own, b"UN", b"OB", b"DS", b"SQ"]))
        value = draw(st.binary(max_size=40))
        length = draw(st.sampled_from([None, None, None, 0, 1, 0xFFFF, 0xFFFFFFFF]))
        if length is not None and vr not in {b"SQ", b"UN", b"OB"}:
            length &= 0xFFFF
        encoded += element(int(tag_for_keyword(keyword) or 0), vr, value, length)
    return bytes(encoded)


@pytest.mark.parametrize("target", ["header", "segmentation", "image", "report"])
@_QUICK
@given(data_set=data_sets(), syntax=st.integers(0, 3))
def test_no_data_set_gets_more_than_a_named_error(
    target: str, data_set: bytes, syntax: int
) -> None:
    TARGETS[target](bytes([syntax]) + data_set)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_mutated_seeds_get_no_more_than_a_named_error(target: str) -> None:
    chance, good = random.Random(516), seeds(target)
    for _ in range(150):
        TARGETS[target](mutated(chance.choice(good), chance))


@pytest.mark.parametrize(
    "path", sorted(FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_what_once_was_too_much_is_taken(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@_QUICK
@given(
    pdus=st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 300), st.binary(max_size=300)), max_size=4
    )
)
def test_no_pdu_takes_the_receiver_down(
    a_receiver: tuple[str, int], pdus: list[tuple[int, int, bytes]]
) -> None:
    with socket.create_connection(a_receiver, 5) as connection:
        for kind, length, data in pdus:
            try:
                connection.sendall(struct.pack(">BxL", kind, length) + data)
            except OSError:
                break
    with RawSender(a_receiver) as sender:
        sender.release()


def test_mutated_objects_are_answered_and_good_ones_between_them_stored(
    a_desk: Desk, a_receiver: tuple[str, int]
) -> None:
    chance, seed = random.Random(78), in_syntax(an_image(), ExplicitVRLittleEndian)[1:]
    good = [f"1.2.826.0.9.{number}" for number in range(15)]
    for uid in good:
        try:
            with RawSender(a_receiver) as sender:
                for _ in range(6):
                    sender.store("US", "1.2.826.0.1.77", mutated(seed, chance))
        except AbortedError:
            pass
        with RawSender(a_receiver) as sender:
            assert sender.store("US", uid, body(an_image(SOPInstanceUID=uid))) == 0
            sender.release()
    stored = a_desk.rows("SELECT sop_instance_uid FROM instance WHERE standing = 'current'")
    assert {row[0] for row in stored} >= set(good)
    assert a_desk.spooled() == []
