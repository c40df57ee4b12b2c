"""What can be sent, and over which presentation contexts."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from node.config import TlsSettings
from node.deliver.association import Peer, Timeouts
from node.deliver.contexts import Batch, Encoded, batches, encode_all
from node.deliver.package import Outgoing, read_outgoing, transfer_syntax_of
from node.deliver.statuses import judge_store_status, status_name
from node.deliver.tls import client_context
from node.errors import ConfigurationError, DeliveryError
from tests.deliver_fixtures import an_object


def encoded(sop_class: str, transfer_syntax: str, number: int = 1) -> Encoded:
    outgoing = Outgoing(sop_class, f"2.25.{number}", "2.25.8", "2.25.9", Path("x.dcm"))
    return Encoded(outgoing, UID(transfer_syntax))


def test_a_file_is_described_by_its_own_header(tmp_path: Path) -> None:
    item = an_object(tmp_path)
    header = dcmread(item.path)
    assert item == Outgoing(
        header.SOPClassUID,
        header.SOPInstanceUID,
        header.StudyInstanceUID,
        header.SeriesInstanceUID,
        item.path,
    )
    assert transfer_syntax_of(item) == ExplicitVRLittleEndian


def test_a_file_that_is_gone_and_one_that_is_no_dicom_are_named(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no DICOM")
    with pytest.raises(DeliveryError, match="is no DICOM Part 10 file"):
        read_outgoing(text)
    with pytest.raises(DeliveryError, match="cannot be read"):
        read_outgoing(tmp_path / "gone")


def test_a_file_without_a_study_is_no_storage_instance(tmp_path: Path) -> None:
    item = an_object(tmp_path)
    dataset = dcmread(item.path)
    del dataset.StudyInstanceUID
    dataset.save_as(item.path, overwrite=True)
    with pytest.raises(DeliveryError, match="study_instance_uid is no UID"):
        read_outgoing(item.path)


def test_an_object_without_a_readable_file_does_not_hold_up_the_others(tmp_path: Path) -> None:
    gone, there = an_object(tmp_path), an_object(tmp_path, 2)
    gone.path.unlink()
    found, unreadable = encode_all([gone, there])
    assert [item.outgoing for item in found] == [there]
    assert list(unreadable) == [gone.sop_instance_uid]


@pytest.mark.parametrize(
    ("transfer_syntax", "proposed"),
    [
        (ExplicitVRLittleEndian, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
        (ImplicitVRLittleEndian, [ImplicitVRLittleEndian]),
        (ExplicitVRBigEndian, [ExplicitVRBigEndian]),
        (JPEGBaseline8Bit, [JPEGBaseline8Bit]),
    ],
)
def test_the_default_transfer_syntax_is_proposed_beside_explicit_little_endian(
    transfer_syntax: str, proposed: list[str]
) -> None:
    (batch,) = batches([encoded("1.2.3", transfer_syntax)])
    assert [context.transfer_syntax for context in batch.contexts] == [[uid] for uid in proposed]


@given(st.lists(st.integers(1, 400), max_size=400), st.integers(0, 1))
def test_objects_are_split_at_128_contexts_and_none_is_lost(
    classes: list[int], reserved: int
) -> None:
    objects = [
        encoded(f"1.2.{sop_class}", JPEGBaseline8Bit, number)
        for number, sop_class in enumerate(classes, 1)
    ]
    split = batches(objects, reserved)
    assert [item for batch in split for item in batch.objects] == objects
    assert all(len(batch.contexts) + reserved <= 128 for batch in split)
    for batch, following in pairwise(split):
        one_more = Batch((*batch.objects, following.objects[0]))
        assert len(one_more.contexts) + reserved > 128


def test_objects_of_one_class_need_one_association_however_many() -> None:
    objects = [encoded("1.2.3", JPEGBaseline8Bit, number) for number in range(1, 1001)]
    assert len(batches(objects)) == 1


@given(st.integers(0, 0xFFFF))
def test_every_status_is_judged_and_named(status: int) -> None:
    answer = judge_store_status(status)
    assert not (answer.stored and answer.permanent)
    assert (answer.detail == "") == (status == 0)
    assert status_name(status).startswith(f"0x{status:04X} ")


def test_an_archive_that_has_the_instance_already_has_stored_it() -> None:
    assert judge_store_status(0x0111).stored


@pytest.mark.parametrize("title", ["", "   ", "SEVENTEEN-LETTERS", "BACK\\SLASH", "GRÖẞE"])
def test_an_ae_title_that_is_none_is_refused(title: str) -> None:
    with pytest.raises(DeliveryError, match="is no AE title"):
        Peer("pacs", title, "127.0.0.1", 104, "CRDL")


def test_a_timeout_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than zero"):
        Timeouts(dimse_s=0)


def test_without_tls_settings_there_is_no_tls() -> None:
    assert client_context(TlsSettings()) is None


def test_a_tls_file_that_is_missing_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[tls\] cannot be loaded"):
        client_context(TlsSettings(ca=tmp_path / "gone.pem"))


def test_the_sender_never_imports_what_only_the_worker_needs() -> None:
    script = (
        "import sys, node.deliver.deliver, node.deliver.send, node.deliver.echo\n"
        "print(*{'torch', 'numba', 'radiomics', 'highdicom', 'SimpleITK'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
