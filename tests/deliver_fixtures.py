"""Objects to deliver, and small archives that behave as badly as a test wants."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, build_role, evt

from node.config import DestinationSettings, Settings
from node.deliver.package import Outgoing, read_outgoing

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
VERIFICATION = "1.2.840.10008.1.1"
SETTINGS = Settings()


def an_object(
    folder: Path,
    number: int = 1,
    *,
    sop_class: str = ComprehensiveSRStorage,
    transfer_syntax: str = ExplicitVRLittleEndian,
) -> Outgoing:
    """Write a small Part 10 file and describe it."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = f"2.25.100{number}"
    dataset.StudyInstanceUID = "2.25.1"
    dataset.SeriesInstanceUID = "2.25.2"
    dataset.PatientID = "P1"
    dataset.PatientName = "Test^Delivery"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyDate = ""
    dataset.Modality = "SR"
    dataset.InstanceNumber = number
    dataset.TextValue = "x" * 40_000  # several PDUs
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    path = folder / f"{number}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return read_outgoing(path)


def dataset_bytes(file: bytes) -> bytes:
    """Return what follows the file meta information of a Part 10 file (PS3.10 section 7.1)."""
    # (0002,0000) UL at byte 132 tells how long the rest of the group is.
    return file[144 + int.from_bytes(file[140:144], "little") :]


@dataclass
class AnArchive:
    """A pynetdicom archive.

    Attributes:
        answer: The C-STORE status for a SOP Instance UID.
        keeps: Whether it keeps what it accepts.
        finds_after: How many queries for an object it answers with nothing first.
        commits: The commitment way: `same` association, `reverse`, `never`, or None without it.
        late_s: How long it takes to open an association of its own.
        times: How often it reports a result there.
        loses: How many copies of an object it loses before it keeps one.
        report_statuses: What it was answered to the results that it reported there.
        received: The data sets on the wire, by SOP Instance UID, one for each C-STORE.
        queries: How many C-FIND requests came.
        associations: How many associations were opened.
    """

    port: int = 0
    answer: Callable[[str], int] = lambda _: 0x0000
    keeps: bool = True
    finds_after: int = 0
    find_status: int = 0x0000
    commits: str | None = None
    reverse_port: int = 0
    title: str = "ARCHIVE"
    late_s: float = 0.0
    times: int = 1
    loses: dict[str, int] = field(default_factory=dict)
    report_statuses: list[int] = field(default_factory=list)
    received: list[tuple[str, bytes]] = field(default_factory=list)
    queries: int = 0
    associations: int = 0
    accepted_contexts: list[tuple[str, str]] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def destination(self, verify: str = "query") -> DestinationSettings:
        return DestinationSettings.model_validate(
            {
                "name": "pacs",
                "ae_title": "ARCHIVE",
                "host": "127.0.0.1",
                "port": self.port,
                "verify": verify,
            }
        )

    @property
    def kept(self) -> set[str]:
        copies = Counter(uid for uid, _ in self.received)
        there = {uid for uid, number in copies.items() if number > self.loses.get(uid, 0)}
        return there if self.keeps else set()

    def on_store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        status = self.answer(uid)
        if status < 0:
            event.assoc.abort()
            return 0xC000
        if status == 0 or status >> 12 == 0xB:
            self.received.append((uid, event.request.DataSet.getvalue()))
        return status

    def on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        self.queries += 1
        if self.find_status:
            yield self.find_status, None
            return
        uid = str(event.identifier.SOPInstanceUID)
        if uid in self.kept and self.queries > self.finds_after:
            match = Dataset()
            match.QueryRetrieveLevel = "IMAGE"
            match.SOPInstanceUID = uid
            yield 0xFF00, match

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        report, event_type = self._report(event.action_information)
        if self.commits == "same":
            thread = threading.Thread(
                target=event.assoc.send_n_event_report,
                args=(report, event_type, COMMITMENT, COMMITMENT_INSTANCE),
            )
        elif self.commits == "reverse":
            thread = threading.Thread(target=self._call_back, args=(report, event_type))
        else:
            return 0x0000, None
        self.threads.append(thread)
        thread.start()
        return 0x0000, None

    def _report(self, asked: Dataset) -> tuple[Dataset, int]:
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        report.ReferencedSOPSequence = []
        failed = []
        for item in asked.ReferencedSOPSequence:
            if item.ReferencedSOPInstanceUID in self.kept:
                report.ReferencedSOPSequence.append(item)
            else:
                item.FailureReason = 0x0112
                failed.append(item)
        if failed:
            report.FailedSOPSequence = failed
        return report, 2 if failed else 1

    def _call_back(self, report: Dataset, event_type: int) -> None:
        time.sleep(self.late_s)
        entity = AE(self.title)
        entity.add_requested_context(COMMITMENT)
        association = entity.associate(
            "127.0.0.1",
            self.reverse_port,
            ae_title="CRDL",
            ext_neg=[build_role(COMMITMENT, scu_role=False, scp_role=True)],
        )
        for _ in range(self.times if association.is_established else 0):
            status, _ = association.send_n_event_report(
                report, event_type, COMMITMENT, COMMITMENT_INSTANCE
            )
            self.report_statuses.append(status.get("Status", -1))
        association.release()


@contextmanager
def an_archive(
    *,
    classes: tuple[str, ...] = (ComprehensiveSRStorage, SecondaryCaptureImageStorage),
    transfer_syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    find: bool = True,
    tls: ssl.SSLContext | None = None,
    **behaviour: object,
) -> Iterator[AnArchive]:
    """A running archive on a free port of the loopback."""
    archive = AnArchive(**behaviour)  # type: ignore[arg-type]
    entity = AE("ARCHIVE")
    for sop_class in classes:
        entity.add_supported_context(sop_class, list(transfer_syntaxes))
    entity.add_supported_context(VERIFICATION)
    if find:
        entity.add_supported_context(FIND)
    if archive.commits is not None:
        entity.add_supported_context(COMMITMENT)

    def count(event: evt.Event) -> None:
        archive.associations += 1
        archive.accepted_contexts += [
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in event.assoc.accepted_contexts
        ]

    server = entity.start_server(
        ("127.0.0.1", 0),
        block=False,
        ssl_context=tls,
        evt_handlers=[
            (evt.EVT_C_STORE, archive.on_store),
            (evt.EVT_C_FIND, archive.on_find),
            (evt.EVT_N_ACTION, archive.on_action),
            (evt.EVT_ESTABLISHED, count),
        ],
    )
    archive.port = server.socket.getsockname()[1]
    try:
        yield archive
    finally:
        for thread in archive.threads:
            thread.join(10)
        server.shutdown()
