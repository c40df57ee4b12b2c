"""Real peers for tests: Debian's Orthanc, dcmtk's storescu and whatever else is on the machine.

Everything listens on the loopback on free ports and is stopped by its own process id.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import httpx
import pytest
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    HEVCMP51,
    JPEG2000,
    MPEG4HP41,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

_DICOMWEB_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"

# Where a peer lies if not on PATH. pynetdicom's own storescu, in the virtual environment, would
# stand before dcmtk's on PATH.
_FIXED = {
    "orthanc": "/usr/sbin/Orthanc",
    "orthanc-dicomweb": _DICOMWEB_PLUGIN,
    "storescu": "/usr/bin/storescu",
    "findscu": "/usr/bin/findscu",
    "echoscu": "/usr/bin/echoscu",
}

# dcmtk proposes one compressed transfer syntax a run, by option.
_PROPOSE = {
    ImplicitVRLittleEndian: "-xi",
    ExplicitVRLittleEndian: "-xe",
    ExplicitVRBigEndian: "-xb",
    JPEGBaseline8Bit: "-xy",
    JPEGExtended12Bit: "-xx",
    JPEGLosslessSV1: "-xs",
    JPEGLSLossless: "-xt",
    JPEGLSNearLossless: "-xu",
    JPEG2000Lossless: "-xv",
    JPEG2000: "-xw",
    RLELossless: "-xr",
    MPEG4HP41: "-xn",
    HEVCMP51: "-x4",
}


def require(name: str) -> Path:
    """Return where a peer lies; skip the test by name without it, or fail it when CI=true."""
    beside = Path(sysconfig.get_path("scripts"), name)
    if name in _FIXED:
        found = _FIXED[name] if Path(_FIXED[name]).exists() else None
    else:
        found = str(beside) if beside.exists() else shutil.which(name)
    if found is not None:
        return Path(found)
    if os.environ.get("CI") == "true":
        pytest.fail(f"the peer {name} is missing")
    pytest.skip(f"the peer {name} is missing")


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback that nobody listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc, asked over its REST interface."""

    ae_title: str
    host: str
    dicom_port: int
    http_port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.http_port}"

    @property
    def dicomweb_url(self) -> str:
        return f"{self.url}/dicom-web"

    def get(self, path: str) -> httpx.Response:
        response = httpx.get(f"{self.url}{path}", timeout=30, trust_env=False)
        response.raise_for_status()
        return response

    def post(self, path: str, body: object) -> httpx.Response:
        response = httpx.post(f"{self.url}{path}", json=body, timeout=30, trust_env=False)
        response.raise_for_status()
        return response

    def studies(self) -> list[str]:
        """The Study Instance UIDs."""
        found = self.get("/studies?expand").json()
        return sorted(item["MainDicomTags"]["StudyInstanceUID"] for item in found)

    def instances(self, sop_instance_uid: str) -> list[str]:
        """Orthanc's own identifiers of the instances with a SOP Instance UID."""
        body = {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}}
        return list(self.post("/tools/find", body).json())

    def count(self, sop_class_uid: str) -> int:
        """How many instances of a SOP class there are."""
        return self.count_by_class()[sop_class_uid]

    def count_by_class(self) -> Counter[str]:
        paths = [
            f"/instances/{item}/metadata/SopClassUid" for item in self.get("/instances").json()
        ]
        return Counter(self.get(path).text.strip() for path in paths)

    def of_class(self, sop_class_uid: str) -> list[bytes]:
        """The files of all instances of a SOP class."""
        return [
            self.get(f"/instances/{item}/file").content
            for item in self.get("/instances").json()
            if self.get(f"/instances/{item}/metadata/SopClassUid").text.strip() == sop_class_uid
        ]

    def file(self, sop_instance_uid: str) -> bytes:
        """The one file with a SOP Instance UID, as Orthanc wrote it."""
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
    """A running Orthanc with its DICOMweb plugin.

    Args:
        folder: Keeps its configuration, log and storage; started again on the same folder it
            has what it had.
        ae_title: Its AE title; it answers to any called AE title.
        modalities: DICOM peers by name: (AE title, host, port).
        lua: A script, for example one that forwards what it receives.
        ports: DICOM and HTTP; None takes free ones.
        options: Further configuration, which wins.
    """
    program = require("orthanc")
    plugin = require("orthanc-dicomweb")
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
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **(options or {}),
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration, indent=1))
    with (folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen([program, str(path)], stdout=log, stderr=subprocess.STDOUT)
    peer = Orthanc(ae_title, "127.0.0.1", dicom_port, http_port, folder)
    try:
        _wait_for(peer, process)
        yield peer
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(peer: Orthanc, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            peer.get("/system")
            peer.get("/dicom-web/studies?limit=1")
        except httpx.HTTPError:
            time.sleep(0.05)
            continue
        return
    pytest.fail(f"Orthanc did not start: {(peer.folder / 'orthanc.log').read_text()[-2000:]}")


def storescu(
    host: str,
    port: int,
    files: Sequence[Path],
    *,
    called_ae: str = "CRDL",
    calling_ae: str = "STORESCU",
    timeout_s: float = 120,
) -> list[subprocess.CompletedProcess[str]]:
    """Send files with dcmtk's storescu: one association a run of equal transfer syntaxes.

    The order of the files is kept. `-R` is needed for SOP classes that dcmtk does not propose by
    itself, such as SEG.

    Raises:
        AssertionError: If one was not stored.
    """
    program = require("storescu")
    runs = []
    for transfer_syntax, group in groupby(
        files, lambda path: read_file_meta_info(path).TransferSyntaxUID
    ):
        run = subprocess.run(
            [
                program,
                *("-v", "-R", _PROPOSE[transfer_syntax]),
                *("-aet", calling_ae, "-aec", called_ae, host, str(port)),
                *map(str, group),
            ],
            env=os.environ | {"TCP_NODELAY": "1"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        runs.append(run)
    return runs
