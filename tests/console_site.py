"""A node with a console and something in it: proven reports, a dead letter to come, a held case."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
from pydicom import dcmread
from pydicom.uid import generate_uid

from tests.acceptance.studies import SentStudy, a_study
from tests.node_process import RunningNode, a_node
from tests.peers import orthanc, storescu


class Gatekeeper(BaseHTTPRequestHandler):
    """An archive's door: nothing goes in, and nothing is there, until somebody opens it."""

    archive: ClassVar[httpx.Client]
    door: ClassVar[threading.Event]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # Closed it has nothing and takes nothing, for good reasons of its own: no outage.
        status, kind, data = (204, "text/plain", b"")
        if self.command == "POST":
            status, data = 403, b"not yet"
        if self.door.is_set():
            kept = {n: v for n, v in self.headers.items() if n in {"Accept", "Content-Type"}}
            said = self.archive.request(self.command, self.path, content=body, headers=kept)
            kind = said.headers.get("Content-Type", "application/octet-stream")
            status, data = said.status_code, said.content
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@dataclass(frozen=True)
class ConsoleSite:
    """The node, its studies, and the door of its second archive."""

    node: RunningNode
    study: SentStudy
    held: SentStudy
    door: threading.Event

    @property
    def url(self) -> str:
        """Where the console is."""
        return f"{self.node.web}/console"

    def wait_for(self, state: str, jobs: int = 1, timeout_s: float = 60) -> None:
        """Wait until so many jobs are in a state."""
        deadline = time.monotonic() + timeout_s
        found: list[dict[str, object]] = []
        while time.monotonic() < deadline:
            found = self.node.jobs()
            if sum(job["state"] == state for job in found) >= jobs:
                return
            time.sleep(0.2)
        raise AssertionError(f"no {jobs} jobs {state}: {found}\n{self.node.log()}")


@contextmanager
def a_console_site(folder: Path, extra: str = "") -> Iterator[ConsoleSite]:
    """A working node: a study on its way to a closed archive, another whose image nobody knows."""
    door = threading.Event()
    with orthanc(folder / "pacs") as pacs, httpx.Client(base_url=pacs.url, timeout=30) as client:
        handler = type("Handler", (Gatekeeper,), {"archive": client, "door": door})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        destinations = [
            {
                "name": "pacs",
                "ae_title": pacs.ae_title,
                "host": pacs.host,
                "port": pacs.dicom_port,
            },
            {
                "name": "vna",
                "protocol": "dicomweb",
                "url": f"http://127.0.0.1:{server.server_port}/dicom-web",
            },
        ]
        study = a_study(
            folder / "study",
            1,
            PatientName="Miller^Anna",
            PatientID="P-1001",
            AccessionNumber="ACC-77",
            StudyDescription="Soft tissue thigh",
        )
        held = a_study(
            folder / "held", 2, colour=False, PatientName="Okafor^Ben", PatientID="P-1002"
        )
        _ambiguous(held)
        extra = f"[pairing]\nunreferenced_quiet_s = 0\n{extra}"
        try:
            with a_node(folder / "node", destinations, extra) as node:
                storescu("127.0.0.1", node.dicom_port, study.files)
                storescu("127.0.0.1", node.dicom_port, [*held.images, _twin(held)])
                storescu("127.0.0.1", node.dicom_port, [held.seg])
                site = ConsoleSite(node, study, held, door)
                site.wait_for("held")
                site.wait_for("delivering")
                yield site
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _ambiguous(study: SentStudy) -> None:
    """Take the references out of a SEG, as 3D Slicer leaves them out."""
    seg = dcmread(study.seg)
    for keyword in ("ReferencedSeriesSequence", "SourceImageSequence"):
        if keyword in seg:
            delattr(seg, keyword)
    for frame in [*seg.PerFrameFunctionalGroupsSequence, *seg.SharedFunctionalGroupsSequence]:
        if "DerivationImageSequence" in frame:
            del frame.DerivationImageSequence
    seg.save_as(study.seg)


def _twin(study: SentStudy) -> Path:
    """Write a second image of the same size: only a person can say which one was drawn on."""
    image = dcmread(study.images[0])
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.SeriesDescription = "Second look"
    path = study.images[0].with_name("twin.dcm")
    image.save_as(path)
    return path
