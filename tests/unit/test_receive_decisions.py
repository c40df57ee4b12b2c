"""The pure decisions of receiving: standing, admission, statuses, contexts, multipart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.case import InstanceHeader
from node.config import NodeSettings
from node.errors import IntakeError
from node.receive import statuses
from node.receive.admission import ANY_SCP, BLANK_TITLE, admit
from node.receive.contexts import Contexts
from node.receive.faults import (
    MismatchError,
    OutOfResourcesError,
    UnsupportedClassError,
    UnsupportedSyntaxError,
)
from node.receive.guarded_socket import name_blank_titles
from node.receive.multipart import (
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    parse_content_type,
)
from node.receive.standing import Known, Version, decide, to_hash
from tests.factories import an_image
from tests.receive_fixtures import US, an_associate_request

FIRST = an_image(pixels_sha256="a" * 64, patient_id="P1")


def known(header: InstanceHeader = FIRST, **fields: object) -> Known:
    values = Known(1, 1, "current", header, "f" * 64, kept=True)
    return replace(values, **fields)  # type: ignore[arg-type]


def test_a_first_instance_is_current() -> None:
    verdict = decide(Version(FIRST, "f" * 64), [], own=False)
    assert (verdict.standing, verdict.version, verdict.event) == ("current", 1, "received")


def test_the_same_header_and_pixels_are_a_duplicate_even_in_other_bytes() -> None:
    verdict = decide(Version(FIRST, "e" * 64), [known()], own=False)
    assert (verdict.standing, verdict.row) == ("duplicate", 1)


def test_another_transfer_syntax_of_the_same_pixels_is_a_duplicate() -> None:
    other = replace(FIRST, transfer_syntax_uid="1.2.840.10008.1.2")
    assert decide(Version(other, "e" * 64), [known()], own=False).standing == "duplicate"


def test_changed_demographics_are_an_update() -> None:
    changed = replace(FIRST, patient_id="P2")
    verdict = decide(Version(changed, "e" * 64), [known()], own=False)
    assert (verdict.standing, verdict.version) == ("current", 2)
    assert (verdict.supersedes, verdict.event) == ((1,), "updated")


def test_demographics_that_change_back_are_an_update_again() -> None:
    changed = known(replace(FIRST, patient_id="P2"), row=2, version=2, blob_sha256="e" * 64)
    versions = [known(standing="superseded"), changed]
    verdict = decide(Version(FIRST, "f" * 64), versions, own=False)
    assert (verdict.standing, verdict.version, verdict.supersedes) == ("current", 3, (2,))


def test_other_pixels_are_a_conflict_and_change_nothing() -> None:
    other = replace(FIRST, pixels_sha256="b" * 64)
    verdict = decide(Version(other, "e" * 64), [known()], own=False)
    assert (verdict.standing, verdict.supersedes) == ("conflict", ())


def test_the_same_conflict_sent_again_is_a_duplicate_of_it() -> None:
    other = replace(FIRST, pixels_sha256="b" * 64)
    versions = [known(), known(other, row=2, version=2, standing="conflict")]
    assert decide(Version(other, "e" * 64), versions, own=False).row == 2


def test_a_copy_whose_blob_is_gone_is_kept_again() -> None:
    verdict = decide(Version(FIRST, "f" * 64), [known(kept=False)], own=False)
    assert (verdict.standing, verdict.supersedes) == ("current", (1,))


def test_without_a_content_hash_only_equal_bytes_are_a_duplicate() -> None:
    bare, nothing = replace(FIRST, pixels_sha256=""), {"e" * 64: "", "f" * 64: ""}
    same, other = (Version(bare, sha256, nothing) for sha256 in ("f" * 64, "e" * 64))
    assert decide(same, [known(bare)], own=False).standing == "duplicate"
    assert decide(other, [known(bare)], own=False).standing == "conflict"


UNHASHED = replace(FIRST, pixels_sha256="")
HASHES = {"f" * 64: "a" * 64, "e" * 64: "a" * 64}


def test_pixels_are_hashed_only_where_the_same_uid_comes_in_other_bytes() -> None:
    new = Version(UNHASHED, "e" * 64)
    assert to_hash(new, []) == set()
    assert to_hash(new, [known(UNHASHED, blob_sha256="e" * 64)]) == set()
    assert to_hash(new, [known(UNHASHED, standing="superseded")]) == set()
    assert to_hash(new, [known(UNHASHED)]) == {"e" * 64, "f" * 64}
    assert to_hash(new, [known()]) == {"e" * 64}
    assert to_hash(new, [known(UNHASHED, kept=False)]) == {"e" * 64}
    assert to_hash(replace(new, hashes=HASHES), [known(UNHASHED)]) == set()
    unreadable = {"e" * 64: "", "f" * 64: None}
    assert to_hash(replace(new, hashes=unreadable), [known(UNHASHED)]) == set()


@pytest.mark.parametrize(
    ("hashes", "patient", "standing"),
    [
        (HASHES, "P1", "duplicate"),
        (HASHES, "P2", "current"),
        (HASHES | {"e" * 64: "b" * 64}, "P1", "conflict"),
        (HASHES | {"e" * 64: "b" * 64}, "P2", "conflict"),
        (HASHES | {"e" * 64: None}, "P2", "conflict"),
        (HASHES | {"f" * 64: None}, "P2", "conflict"),
    ],
    ids=["transcoded", "update", "pixels", "both", "own unreadable", "other unreadable"],
)
def test_what_was_hashed_later_counts_like_what_was_hashed_at_once(
    hashes: dict[str, str | None], patient: str, standing: str
) -> None:
    new = Version(replace(UNHASHED, patient_id=patient), "e" * 64, hashes)
    assert decide(new, [known(UNHASHED)], own=False).standing == standing


def test_a_version_whose_file_is_lost_makes_way_for_one_that_comes() -> None:
    lost = known(UNHASHED, kept=False)
    for sha256 in ("f" * 64, "e" * 64):
        verdict = decide(Version(UNHASHED, sha256, {sha256: "a" * 64}), [lost], own=False)
        assert (verdict.standing, verdict.supersedes) == ("current", (1,))


def test_our_own_object_is_own_and_then_a_duplicate() -> None:
    assert decide(Version(FIRST, "f" * 64), [], own=True).standing == "own"
    assert (
        decide(Version(FIRST, "e" * 64), [known(standing="own")], own=True).standing == "duplicate"
    )


@pytest.mark.parametrize(
    ("calling", "called", "diagnostic"),
    [
        ("US1", "CRDL", None),
        (" US1 ", " CRDL ", None),
        ("US1", ANY_SCP, None),
        ("US1", "OTHER", 7),
        ("OTHER", "CRDL", 3),
        ("", "CRDL", 3),
        (BLANK_TITLE, "CRDL", 3),
    ],
)
def test_associations_are_admitted_by_title(
    calling: str, called: str, diagnostic: int | None
) -> None:
    rejection = admit(NodeSettings(calling_ae_titles=("US1",)), calling, called)
    assert (rejection.diagnostic if rejection else None) == diagnostic


def test_a_blank_calling_title_is_admitted_only_on_request() -> None:
    assert admit(NodeSettings(), BLANK_TITLE, "CRDL") is not None
    assert admit(NodeSettings(allow_blank_calling_ae=True), BLANK_TITLE, "CRDL") is None


def test_blank_titles_get_a_name_and_others_stay() -> None:
    body = bytearray(an_associate_request(calling=" ")[6:])
    name_blank_titles(body)
    assert body[20:36] == BLANK_TITLE.encode().ljust(16)
    assert body[4:20] == b"CRDL".ljust(16)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OutOfResourcesError("full"), 0xA700),
        (MismatchError("other"), 0xA900),
        (UnsupportedClassError("class"), 0x0122),
        (UnsupportedSyntaxError("syntax"), 0xC122),
        (IntakeError("garbage"), 0xC000),
    ],
)
def test_every_fault_has_its_status(error: IntakeError, status: int) -> None:
    assert statuses.of_error(error) == status


def test_an_error_comment_fits_its_value_representation() -> None:
    comment = statuses.Answer.failure(0xC000, "ü\\" * 100).comment
    assert len(comment) == 64
    assert comment.isascii()
    assert "\\" not in comment


def test_deflated_is_accepted_only_on_request() -> None:
    deflated = "1.2.840.10008.1.2.1.99"
    Contexts.load(accept_deflated=True).require(US, deflated)
    with pytest.raises(UnsupportedSyntaxError):
        Contexts.load(accept_deflated=False).require(US, deflated)


def test_a_class_outside_the_table_is_not_accepted() -> None:
    with pytest.raises(UnsupportedClassError):
        Contexts.load(accept_deflated=False).require("1.2.840.10008.5.1.4.1.1.2", "1.2")


def parts_of(body: bytes, size: int, boundary: str = "XX") -> list[bytes]:
    """Parse a body in chunks of a size; return the complete parts."""
    parser = MultipartParser(boundary)
    parts: list[bytes] = []
    current: bytes | None = None
    for start in range(0, len(body), size):
        for event in parser.feed(body[start : start + size]):
            match event:
                case PartBegin():
                    current = b""
                case PartData(data):
                    assert current is not None
                    current += data
                case PartEnd():
                    assert current is not None
                    parts.append(current)
                    current = None
    assert parser.complete
    return parts


def body_of(parts: list[bytes], boundary: str = "XX") -> bytes:
    head = b"Content-Type: application/dicom\r\n\r\n"
    mark = b"--" + boundary.encode()
    return b"".join(mark + b"\r\n" + head + part + b"\r\n" for part in parts) + mark + b"--\r\n"


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([b"\r\n--X", b"\r\n--", b"--XX"]), max_size=4
    ),
    st.integers(1, 40),
)
def test_parts_come_out_as_they_went_in_whatever_the_chunks(parts: list[bytes], size: int) -> None:
    if any(b"\r\n--XX" in b"\r\n" + part for part in parts):
        return  # a part must not hold its own delimiter, RFC 2046 section 5.1.1
    assert parts_of(body_of(parts), size) == parts


def test_a_preamble_and_an_epilogue_are_ignored() -> None:
    body = b"hello\r\n" + body_of([b"data"]) + b"bye" * 100
    assert parts_of(body, 5) == [b"data"]


def test_part_headers_without_end_are_an_error() -> None:
    parser = MultipartParser("XX")
    with pytest.raises(MultipartError, match="do not end"):
        list(parser.feed(b"--XX\r\n" + b"a" * 20_000))


@pytest.mark.parametrize("boundary", ["", "é", "b" * 71])
def test_an_impossible_boundary_is_an_error(boundary: str) -> None:
    with pytest.raises(MultipartError):
        MultipartParser(boundary)


def test_a_content_type_is_split_into_type_and_parameters() -> None:
    value = 'Multipart/Related; type="application/dicom"; boundary=abc'
    assert parse_content_type(value) == (
        "multipart/related",
        {"type": "application/dicom", "boundary": "abc"},
    )
