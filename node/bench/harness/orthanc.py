"""A running Orthanc, asked over its REST interface."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from node.bench.harness.ports import LOOPBACK, free_ports
from node.bench.harness.programs import HarnessError, MissingPeerError, end, find

_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc."""

    ae_title: str
    host: str
    dicom_port: int
    http_port: int
    folder: Path
    process_id: int

    @property
    def url(self) -> str:
        """The base of its REST interface."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def dicomweb_url(self) -> str:
        """The base of its DICOMweb service."""
        return f"{self.url}/dicom-web"

    def get(self, path: str) -> httpx.Response:
        """Ask; any answer but success raises."""
        response = httpx.get(f"{self.url}{path}", timeout=30, trust_env=False)
        response.raise_for_status()
        return response

    def post(self, path: str, body: object) -> httpx.Response:
        """Tell; any answer but success raises."""
        response = httpx.post(f"{self.url}{path}", json=body, timeout=30, trust_env=False)
        response.raise_for_status()
        return response

    def studies(self) -> list[str]:
        """Return the Study Instance UIDs."""
        found = self.get("/studies?expand").json()
        return sorted(item["MainDicomTags"]["StudyInstanceUID"] for item in found)

    def instances(self, sop_instance_uid: str) -> list[str]:
        """Return Orthanc's own identifiers of the instances with a SOP Instance UID."""
        body = {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}}
        return list(self.post("/tools/find", body).json())

    def count(self, sop_class_uid: str) -> int:
        """Return how many instances of a SOP class there are."""
        return self.count_by_class()[sop_class_uid]

    def count_by_class(self) -> Counter[str]:
        """Return how many instances there are of each SOP class."""
        paths = [
            f"/instances/{item}/metadata/SopClassUid" for item in self.get("/instances").json()
        ]
        return Counter(self.get(path).text.strip() for path in paths)

    def of_class(self, sop_class_uid: str) -> list[bytes]:
        """Return the files of all instances of a SOP class."""
        return [
            self.get(f"/instances/{item}/file").content
            for item in self.get("/instances").json()
            if self.get(f"/instances/{item}/metadata/SopClassUid").text.strip() == sop_class_uid
        ]

    def of_study(self, study_instance_uid: str) -> list[bytes]:
        """Return the files of all instances of a study."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}}
        found = self.post("/tools/find", query).json()
        return [self.get(f"/instances/{item}/file").content for item in found]

    def file(self, sop_instance_uid: str) -> bytes:
        """Return the one file with a SOP Instance UID, as Orthanc wrote it."""
        (identifier,) = self.instances(sop_instance_uid)
        return self.get(f"/instances/{identifier}/file").content

    def set_modality(self, name: str, ae_title: str, host: str, port: int) -> None:
        """Tell Orthanc of a DICOM peer, to send to or to hear from."""
        response = httpx.put(
            f"{self.url}/modalities/{name}",
            json={"AET": ae_title, "Host": host, "Port": port},
            timeout=30,
            trust_env=False,
        )
        response.raise_for_status()

    def forget(self, sop_instance_uid: str) -> None:
        """Delete every instance with a SOP Instance UID."""
        for identifier in self.instances(sop_instance_uid):
            httpx.delete(f"{self.url}/instances/{identifier}", trust_env=False).raise_for_status()


@contextmanager
def orthanc(
    folder: Path,
    *,
    ae_title: str = "ORTHANC",
    modalities: Mapping[str, tuple[str, str, int]] | None = None,
    lua: Path | None = None,
    ports: tuple[int, int] | None = None,
    options: Mapping[str, object] | None = None,
) -> Iterator[Orthanc]:
    """A running Orthanc, with its DICOMweb plugin where that is installed.

    Args:
        folder: Keeps its configuration, log and storage; started again on the same folder it
            has what it had.
        ae_title: Its AE title; it answers to any called AE title.
        modalities: DICOM peers by name: (AE title, host, port).
        lua: A script, for example one that forwards what it receives.
        ports: DICOM and HTTP; None takes free ones.
        options: Further configuration, which wins.

    Raises:
        MissingPeerError: Without Orthanc.
        HarnessError: If it does not start.
    """
    program = find("orthanc")
    try:
        plugin = find("orthanc-dicomweb")
    except MissingPeerError:
        plugin = None
    folder.mkdir(parents=True, exist_ok=True)
    dicom_port, http_port = ports or tuple(free_ports(2))
    configuration = {
        "Name": ae_title,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": ae_title,
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": False,
        "DicomCheckModalityHost": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomModalities": {key: list(value) for key, value in (modalities or {}).items()},
        "DicomScuTimeout": 10,
        "UnknownSopClassAccepted": True,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,  # Orthanc 1.10 listens on the loopback only by this
        "AuthenticationEnabled": False,
        "OverwriteInstances": False,
        "StableAge": 1,
        "LuaScripts": [] if lua is None else [str(lua)],
        "Plugins": [] if plugin is None else [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **(options or {}),
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration, indent=1))
    with (folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - the installed program
            [program, str(path)], stdout=log, stderr=subprocess.STDOUT
        )
    peer = Orthanc(ae_title, LOOPBACK, dicom_port, http_port, folder, process.pid)
    try:
        _wait_for(peer, process, dicomweb=plugin is not None)
        yield peer
    finally:
        end(process)


def _wait_for(peer: Orthanc, process: subprocess.Popen[bytes], *, dicomweb: bool) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            peer.get("/system")
            if dicomweb:
                peer.get("/dicom-web/studies?limit=1")
        except httpx.HTTPError:
            time.sleep(0.05)
            continue
        return
    raise HarnessError(
        f"Orthanc did not start: {(peer.folder / 'orthanc.log').read_text()[-2000:]}"
    )
