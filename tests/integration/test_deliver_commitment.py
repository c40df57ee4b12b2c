"""Storage commitment on the association that asked, and on one of the archive's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt

from node.deliver.archive import Standing
from node.deliver.association import Timeouts
from node.deliver.commitment import CommitmentResult, event_report_handler, read_event_report
from node.deliver.deliver import deliver
from node.errors import DeliveryError
from tests.deliver_fixtures import COMMITMENT, SETTINGS, an_archive, an_object

NOTHING_SENT: frozenset[str] = frozenset()
SHORT = Timeouts(commitment_s=0.3)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.deliver.deliver.READ_BACK_WAITS_S", (0.01, 0.01))


@contextmanager
def a_receiver(results: list[CommitmentResult], arrived: threading.Event) -> Iterator[int]:
    """Our own DICOM port, as the receiver would open it for results."""

    def take(result: CommitmentResult) -> None:
        results.append(result)
        arrived.set()

    entity = AE("CRDL")
    entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
    server = entity.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, event_report_handler(take))],
    )
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def test_what_the_archive_commits_on_the_same_association_is_proven(tmp_path: Path) -> None:
    objects = [an_object(tmp_path), an_object(tmp_path, 2)]
    with an_archive(commits="same", find=False) as archive:
        start = time.monotonic()
        outcome = deliver(archive.destination("commitment"), objects, NOTHING_SENT, SETTINGS)
        elapsed = time.monotonic() - start
    assert [(item.state, item.detail) for item in outcome.objects] == [("proven", "committed")] * 2
    assert elapsed < 4  # it does not wait for the whole 5 s


def test_an_archive_that_has_dropped_the_object_does_not_commit_it(tmp_path: Path) -> None:
    with an_archive(commits="same", keeps=False) as archive:
        (item,) = deliver(
            archive.destination("commitment"), [an_object(tmp_path)], NOTHING_SENT, SETTINGS
        ).objects
    assert item.state == "sent"
    assert item.detail == "not committed: 0x0112 no such object instance"


def test_without_a_result_in_time_nothing_is_proven(tmp_path: Path) -> None:
    with an_archive(commits="never") as archive:
        (item,) = deliver(
            archive.destination("commitment"),
            [an_object(tmp_path)],
            NOTHING_SENT,
            SETTINGS,
            timeouts=SHORT,
        ).objects
    assert (item.state, item.detail) == ("sent", "no commitment result yet")
    assert item.transaction_uid


def test_a_result_on_an_association_of_the_archives_own_is_read(tmp_path: Path) -> None:
    results: list[CommitmentResult] = []
    arrived = threading.Event()
    report = an_object(tmp_path)
    with (
        a_receiver(results, arrived) as port,
        an_archive(commits="reverse", reverse_port=port) as archive,
    ):
        (item,) = deliver(
            archive.destination("commitment"), [report], NOTHING_SENT, SETTINGS, timeouts=SHORT
        ).objects
        assert arrived.wait(10)
    assert item.state == "sent"
    (result,) = results
    assert result.transaction_uid == item.transaction_uid
    assert result.proof(report.sop_instance_uid).standing is Standing.THERE


def test_a_later_attempt_asks_for_commitment_before_it_sends_again(tmp_path: Path) -> None:
    report = an_object(tmp_path)
    sent = frozenset({report.sop_instance_uid})
    with an_archive(commits="never") as archive:
        destination = archive.destination("commitment")
        deliver(destination, [report], NOTHING_SENT, SETTINGS, timeouts=SHORT)
        (waiting,) = deliver(destination, [report], sent, SETTINGS, timeouts=SHORT).objects
        archive.commits = "same"
        (proven,) = deliver(destination, [report], sent, SETTINGS).objects
    assert (waiting.state, proven.state) == ("sent", "proven")
    assert len(archive.received) == 1


def test_what_an_earlier_attempt_never_sent_is_sent_once_the_archive_says_so(
    tmp_path: Path,
) -> None:
    report = an_object(tmp_path)
    perhaps = frozenset({report.sop_instance_uid})
    with an_archive(commits="same") as archive:
        (item,) = deliver(archive.destination("commitment"), [report], perhaps, SETTINGS).objects
    assert item.state == "proven"
    assert len(archive.received) == 1


def test_an_archive_without_storage_commitment_fails_visibly(tmp_path: Path) -> None:
    with an_archive() as archive:
        (item,) = deliver(
            archive.destination("commitment"), [an_object(tmp_path)], NOTHING_SENT, SETTINGS
        ).objects
    assert (item.state, item.permanent) == ("failed", True)
    assert "offers no storage commitment" in item.detail


def a_report_of(*failures: tuple[str, int | None], committed: tuple[str, ...] = ()) -> Dataset:
    report = Dataset()
    report.TransactionUID = "2.25.77"
    report.ReferencedSOPSequence = []
    for uid in committed:
        item = Dataset()
        item.ReferencedSOPInstanceUID = uid
        report.ReferencedSOPSequence.append(item)
    report.FailedSOPSequence = []
    for uid, reason in failures:
        item = Dataset()
        item.ReferencedSOPInstanceUID = uid
        if reason is not None:
            item.FailureReason = reason
        report.FailedSOPSequence.append(item)
    return report


def test_an_instance_that_is_named_as_failed_too_is_not_committed() -> None:
    report = a_report_of(("2.25.1", 0x0110), ("2.25.3", None), committed=("2.25.1", "2.25.2"))
    result = read_event_report(2, report)
    assert result.committed == {"2.25.2"}
    assert result.failed == {"2.25.1": 0x0110, "2.25.3": 0x0110}
    assert result.proof("2.25.1").standing is Standing.UNKNOWN
    assert result.proof("2.25.4").standing is Standing.UNKNOWN


@pytest.mark.parametrize("event_type", [0, 3])
def test_another_event_is_no_commitment_result(event_type: int) -> None:
    with pytest.raises(DeliveryError, match="no storage commitment result"):
        read_event_report(event_type, a_report_of())


def test_a_result_without_a_transaction_is_none() -> None:
    with pytest.raises(DeliveryError, match="no storage commitment result"):
        read_event_report(1, Dataset())
