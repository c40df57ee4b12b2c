"""The PACS of the demonstration: Orthanc if it is installed, else an embedded receiver."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Protocol

from pydicom import Dataset, dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt

from node.bench.harness import MissingPeerError, Orthanc, free_ports, orthanc

_PENDING = 0xFF00  # PS3.4 section C.4.1.1.4
_VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 annex A
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # PS3.4 section C.6.2


class Pacs(Protocol):
    """What the demonstration asks of a PACS."""

    name: str
    ae_title: str
    port: int

    def study(self, study_instance_uid: str) -> list[Dataset]:
        """Return the instances of a study."""


@contextmanager
def a_pacs(folder: Path) -> Iterator[Pacs]:
    """Start Orthanc, or the embedded receiver where there is none; stop it at the end."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(orthanc(folder))
        except MissingPeerError:
            yield stack.enter_context(_embedded(folder))
        else:
            yield OrthancPacs(running)


class OrthancPacs:
    """A running Orthanc."""

    name = "Orthanc"

    def __init__(self, running: Orthanc) -> None:
        self.ae_title = running.ae_title
        self.port = running.dicom_port
        self._running = running

    def study(self, study_instance_uid: str) -> list[Dataset]:
        """Return the instances of a study."""
        return [dcmread(BytesIO(file)) for file in self._running.of_study(study_instance_uid)]


class EmbeddedPacs:
    """A storage and query provider that keeps files in a folder."""

    name = "embedded receiver"
    ae_title = "ORTHANC"

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, Dataset] = {}

    def study(self, study_instance_uid: str) -> list[Dataset]:
        """Return the instances of a study."""
        with self._lock:
            known = list(self._known.values())
        return [one for one in known if one.StudyInstanceUID == study_instance_uid]

    def on_store(self, event: evt.Event) -> int:
        """Keep what was sent."""
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        dataset.save_as(self._folder / f"{len(self._known)}.dcm", enforce_file_format=True)
        with self._lock:
            self._known[dataset.SOPInstanceUID] = dataset
        return 0x0000

    def on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer by SOP Instance UID."""
        wanted = event.identifier.get("SOPInstanceUID", "")
        uids = [wanted] if isinstance(wanted, str) else list(wanted)
        for uid in uids:
            if uid in self._known:
                answer = Dataset()
                answer.QueryRetrieveLevel = "IMAGE"
                for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                    setattr(answer, keyword, self._known[uid].get(keyword))
                yield _PENDING, answer


@contextmanager
def _embedded(folder: Path) -> Iterator[EmbeddedPacs]:
    folder.mkdir(parents=True, exist_ok=True)
    pacs = EmbeddedPacs(folder)
    entity = AE(pacs.ae_title)
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context(_STUDY_ROOT_FIND)
    entity.add_supported_context(_VERIFICATION)
    server = entity.start_server(
        ("127.0.0.1", pacs.port),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, pacs.on_store), (evt.EVT_C_FIND, pacs.on_find)],
    )
    try:
        yield pacs
    finally:
        if server is not None:
            server.shutdown()
