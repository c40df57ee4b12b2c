"""The PACS of the demonstration: Orthanc if it is installed, else an embedded receiver."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Protocol

import httpx
from pydicom import Dataset, dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt

_ORTHANC = ("/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc")
_PENDING = 0xFF00  # PS3.4 section C.4.1.1.4
_VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 annex A
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # PS3.4 section C.6.2


class Pacs(Protocol):
    """What the demonstration asks of a PACS."""

    name: str
    port: int

    def study(self, study_instance_uid: str) -> list[Dataset]:
        """Return the instances of a study."""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def a_pacs(folder: Path) -> Iterator[Pacs]:
    """Start Orthanc, or the embedded receiver where there is none; stop it at the end."""
    program = shutil.which("Orthanc") or next((p for p in _ORTHANC if Path(p).exists()), None)
    with _orthanc(program, folder) if program else _embedded(folder) as pacs:
        yield pacs


class Orthanc:
    """A running Orthanc, asked over REST."""

    name = "Orthanc"

    def __init__(self, port: int, http_port: int) -> None:
        self.port = port
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{http_port}", trust_env=False)

    def is_up(self) -> bool:
        """Tell whether it answers."""
        try:
            return self._http.get("/system").is_success
        except httpx.HTTPError:
            return False

    def study(self, study_instance_uid: str) -> list[Dataset]:
        """Return the instances of a study."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}}
        found = self._http.post("/tools/find", json=query).json()
        files = (self._http.get(f"/instances/{one}/file").content for one in found)
        return [dcmread(BytesIO(file)) for file in files]


@contextmanager
def _orthanc(program: str, folder: Path) -> Iterator[Orthanc]:
    pacs = Orthanc(free_port(), http_port := free_port())
    folder.mkdir(parents=True, exist_ok=True)
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": "ORTHANC",
        "DicomPort": pacs.port,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the installed program
            [program, str(folder / "orthanc.json")], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while not pacs.is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Orthanc did not start; see {folder / 'orthanc.log'}")
            time.sleep(0.05)
        yield pacs
    finally:
        process.terminate()
        process.wait(30)


class EmbeddedPacs:
    """A storage and query provider that keeps files in a folder."""

    name = "embedded receiver"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
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
    entity = AE("ORTHANC")
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
