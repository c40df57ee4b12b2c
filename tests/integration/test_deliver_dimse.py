"""Delivery by DIMSE to archives that behave, and to archives that do not."""

from __future__ import annotations

import socket
import threading
import time
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom.presentation import build_context

from node.config import DestinationSettings
from node.deliver.association import Peer, Timeouts, associated
from node.deliver.deliver import deliver
from node.deliver.echo import echo
from node.deliver.outcome import Dead, Policy, next_step
from node.errors import DeliveryError
from tests.deliver_fixtures import FIND, SETTINGS, an_archive, an_object, dataset_bytes
from tests.peers import free_ports

NOTHING_SENT: frozenset[str] = frozenset()


def test_a_delivery_is_proven_by_query_over_one_association(tmp_path: Path) -> None:
    report = an_object(tmp_path)
    picture = an_object(tmp_path, 2, sop_class=SecondaryCaptureImageStorage)
    with an_archive() as archive:
        outcome = deliver(archive.destination(), [report, picture], NOTHING_SENT, SETTINGS)
    assert [item.state for item in outcome.objects] == ["proven", "proven"]
    assert outcome.proven
    assert archive.associations == 1
    assert archive.queries == 2


def test_only_the_contexts_that_are_needed_are_proposed(tmp_path: Path) -> None:
    everything = (ComprehensiveSRStorage, SecondaryCaptureImageStorage)
    with an_archive(classes=everything) as archive:
        deliver(archive.destination(), [an_object(tmp_path)], NOTHING_SENT, SETTINGS)
    assert sorted(archive.accepted_contexts) == [
        (ComprehensiveSRStorage, ImplicitVRLittleEndian),
        (ComprehensiveSRStorage, ExplicitVRLittleEndian),
        (FIND, ImplicitVRLittleEndian),
    ]


def test_the_data_set_on_the_wire_is_that_of_the_file_byte_for_byte(tmp_path: Path) -> None:
    report = an_object(tmp_path)
    with an_archive() as archive:
        deliver(archive.destination(), [report], NOTHING_SENT, SETTINGS)
    assert archive.received == [(report.sop_instance_uid, dataset_bytes(report.path.read_bytes()))]


def test_a_peer_that_knows_only_the_default_transfer_syntax_gets_that(tmp_path: Path) -> None:
    report = an_object(tmp_path)
    with an_archive(transfer_syntaxes=(ImplicitVRLittleEndian,)) as archive:
        outcome = deliver(archive.destination(), [report], NOTHING_SENT, SETTINGS)
    assert outcome.proven
    ((_, received),) = archive.received
    decoded = dcmread(BytesIO(received), force=True)
    original = dcmread(report.path)
    assert received != dataset_bytes(report.path.read_bytes())
    assert {element.tag: element.value for element in decoded} == {
        element.tag: element.value for element in original
    }


def test_an_object_that_is_there_already_is_not_sent_again(tmp_path: Path) -> None:
    report = an_object(tmp_path)
    with an_archive() as archive:
        deliver(archive.destination(), [report], NOTHING_SENT, SETTINGS)
        sent = frozenset({report.sop_instance_uid})
        outcome = deliver(archive.destination(), [report], sent, SETTINGS)
    assert outcome.proven
    assert len(archive.received) == 1


def test_an_object_that_an_interrupted_attempt_never_sent_is_sent(tmp_path: Path) -> None:
    report, other = an_object(tmp_path), an_object(tmp_path, 2)
    with an_archive() as archive:
        deliver(archive.destination(), [report], NOTHING_SENT, SETTINGS)
        perhaps = frozenset({report.sop_instance_uid, other.sop_instance_uid})
        outcome = deliver(archive.destination(), [report, other], perhaps, SETTINGS)
    assert outcome.proven
    assert [uid for uid, _ in archive.received] == [report.sop_instance_uid, other.sop_instance_uid]


def test_an_archive_that_accepts_and_drops_an_object_is_caught(tmp_path: Path) -> None:
    report = an_object(tmp_path)
    with an_archive(keeps=False) as archive:
        outcome = deliver(archive.destination(), [report], NOTHING_SENT, SETTINGS)
    (item,) = outcome.objects
    assert (item.state, item.detail) == ("sent", "not found by query yet")
    assert archive.queries == 5


def test_an_archive_that_indexes_late_is_asked_again_and_sent_to_once(tmp_path: Path) -> None:
    with an_archive(finds_after=3) as archive:
        outcome = deliver(archive.destination(), [an_object(tmp_path)], NOTHING_SENT, SETTINGS)
    assert outcome.proven
    assert archive.queries == 4
    assert len(archive.received) == 1


def test_a_destination_that_is_down_is_an_outcome_and_not_permanent(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    destination = DestinationSettings(name="pacs", ae_title="GONE", host="127.0.0.1", port=port)
    (item,) = deliver(destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS).objects
    assert (item.state, item.permanent) == ("failed", False)
    assert "cannot be reached" in item.detail


def test_a_destination_with_an_unknown_host_name_is_an_outcome(tmp_path: Path) -> None:
    destination = DestinationSettings(name="pacs", ae_title="X", host="nowhere.invalid", port=104)
    (item,) = deliver(destination, [an_object(tmp_path)], NOTHING_SENT, SETTINGS).objects
    assert item.state == "failed"
    assert "cannot be reached" in item.detail


def test_a_sop_class_that_is_not_accepted_is_a_permanent_failure_of_its_object(
    tmp_path: Path,
) -> None:
    report = an_object(tmp_path)
    picture = an_object(tmp_path, 2, sop_class=SecondaryCaptureImageStorage)
    with an_archive(classes=(SecondaryCaptureImageStorage,)) as archive:
        refused, taken = deliver(
            archive.destination(), [report, picture], NOTHING_SENT, SETTINGS
        ).objects
    assert (refused.state, refused.permanent) == ("failed", True)
    assert "does not accept Comprehensive SR Storage in Explicit VR Little Endian" in refused.detail
    assert taken.state == "proven"
    assert isinstance(next_step(3, refused, Policy(), 0.5), Dead)


@pytest.mark.parametrize(
    ("status", "state", "permanent", "words"),
    [
        (0xB000, "proven", False, "stored with 0xB000 coercion of data elements"),
        (0xB006, "proven", False, "stored with 0xB006 elements discarded"),
        (0xB007, "proven", False, "stored with 0xB007 data set does not match SOP class"),
        (0xA700, "failed", False, "refused with 0xA700 out of resources"),
        (0xA900, "failed", True, "refused with 0xA900 data set does not match SOP class"),
        (0xC000, "failed", True, "refused with 0xC000 cannot understand"),
        (0x0122, "failed", True, "refused with 0x0122 SOP class not supported"),
        (0x0124, "failed", False, "refused with 0x0124 not authorised"),
    ],
)
def test_a_status_is_named_and_judged(
    tmp_path: Path, status: int, state: str, permanent: bool, words: str
) -> None:
    with an_archive(answer=lambda _: status) as archive:
        (item,) = deliver(
            archive.destination(), [an_object(tmp_path)], NOTHING_SENT, SETTINGS
        ).objects
    assert (item.state, item.permanent, item.detail) == (state, permanent, words)


def test_an_object_that_costs_the_association_does_not_cost_the_others(tmp_path: Path) -> None:
    poison, report = an_object(tmp_path), an_object(tmp_path, 2)
    with an_archive(answer=lambda uid: -1 if uid == poison.sop_instance_uid else 0) as archive:
        lost, proven = deliver(
            archive.destination(), [poison, report], NOTHING_SENT, SETTINGS
        ).objects
    assert (lost.state, lost.permanent) == ("failed", False)
    assert proven.state == "proven"


def test_an_archive_that_accepts_nothing_at_all_is_a_permanent_failure(tmp_path: Path) -> None:
    with an_archive(classes=()) as archive:
        (item,) = deliver(
            archive.destination("none"), [an_object(tmp_path)], NOTHING_SENT, SETTINGS
        ).objects
    assert (item.state, item.permanent) == ("failed", True)
    assert "accepts none of the proposed SOP classes" in item.detail


def test_an_archive_that_never_answers_is_left_after_the_timeout(tmp_path: Path) -> None:
    given_up = threading.Event()

    def sleeps(_: str) -> int:
        given_up.wait(20)
        return 0

    with an_archive(answer=sleeps) as archive:
        start = time.monotonic()
        (item,) = deliver(
            archive.destination("none"),
            [an_object(tmp_path)],
            NOTHING_SENT,
            SETTINGS,
            timeouts=Timeouts(dimse_s=0.3),
        ).objects
        elapsed = time.monotonic() - start
        given_up.set()
    assert item.state == "failed"
    assert "no answer" in item.detail
    assert elapsed < 15


def test_what_is_stored_where_nothing_can_be_queried_fails_visibly(tmp_path: Path) -> None:
    report = an_object(tmp_path)
    with an_archive(find=False) as archive:
        (item,) = deliver(archive.destination(), [report], NOTHING_SENT, SETTINGS).objects
        sent = frozenset({report.sop_instance_uid})
        (again,) = deliver(archive.destination(), [report], sent, SETTINGS).objects
    assert (item.state, item.permanent) == (again.state, again.permanent) == ("failed", True)
    assert "offers no Study Root C-FIND" in item.detail
    assert len(archive.received) == 1


def test_a_query_that_fails_leaves_the_object_sent(tmp_path: Path) -> None:
    with an_archive(find_status=0xC001) as archive:
        (item,) = deliver(
            archive.destination(), [an_object(tmp_path)], NOTHING_SENT, SETTINGS
        ).objects
    assert item.state == "sent"
    assert "C-FIND failed with 0xC001" in item.detail


def test_without_verification_acceptance_counts_and_says_so(tmp_path: Path) -> None:
    with an_archive(find=False) as archive:
        (item,) = deliver(
            archive.destination("none"), [an_object(tmp_path)], NOTHING_SENT, SETTINGS
        ).objects
    assert (item.state, item.detail) == ("proven", "unverified")
    assert archive.queries == 0


def test_a_file_that_holds_another_object_is_not_sent_under_its_name(tmp_path: Path) -> None:
    report, other = an_object(tmp_path), an_object(tmp_path, 2)
    report.path.write_bytes(other.path.read_bytes())
    with an_archive() as archive:
        (item,) = deliver(archive.destination(), [report], NOTHING_SENT, SETTINGS).objects
    assert (item.state, item.permanent) == ("failed", True)
    assert archive.received == []


def test_the_same_object_twice_in_one_delivery_is_refused(tmp_path: Path) -> None:
    report = an_object(tmp_path)
    with an_archive() as archive, pytest.raises(ValueError, match="same SOP Instance UID"):
        deliver(archive.destination(), [report, report], NOTHING_SENT, SETTINGS)


def test_a_destination_answers_an_echo_in_milliseconds() -> None:
    with an_archive() as archive:
        assert 0 < echo(archive.destination(), SETTINGS) < 5000


def test_an_echo_to_a_destination_that_is_down_is_an_error() -> None:
    (port,) = free_ports(1)
    destination = DestinationSettings(name="pacs", ae_title="GONE", host="127.0.0.1", port=port)
    with pytest.raises(DeliveryError, match="cannot be reached"):
        echo(destination, SETTINGS)


def test_an_association_does_not_wait_for_acknowledgements() -> None:
    with an_archive() as archive:
        peer = Peer.of(archive.destination(), SETTINGS, Timeouts())
        with associated(peer, [build_context(FIND)]) as association:
            transport = association.dul.socket.socket
            assert transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
