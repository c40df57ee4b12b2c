"""The OHIF viewer as npm ships it, and Orthanc's DICOMweb behind the same origin.

A page may ask only where it came from, and the viewer wants to be isolated from other origins: so
one small server gives out the viewer's files and passes everything else on to the archive.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

VERSION = "3.13.2"
# deploy/setup.sh unpacks @ohif/app there.
_DIST = Path(__file__).parents[2] / ".venv" / f"ohif-{VERSION}" / "package" / "dist"
_PASSED_ON = ("/dicom-web", "/wado")
_SOURCE = {
    "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
    "sourceName": "archive",
    "configuration": {
        "friendlyName": "archive",
        "name": "archive",
        "wadoUriRoot": "/wado",
        "qidoRoot": "/dicom-web",
        "wadoRoot": "/dicom-web",
        "qidoSupportsIncludeField": False,
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "supportsFuzzyMatching": False,
        "supportsWildcard": True,
        "singlepart": "bulkdata,video,pdf",
        "bulkDataURI": {"enabled": True},
        "omitQuotationForMultipartRequest": True,
    },
}
_CONFIGURATION = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "showLoadingIndicator": True,
    "investigationalUseDialog": {"option": "never"},
    "useSharedArrayBuffer": "FALSE",
    "defaultDataSourceName": "archive",
    "dataSources": [_SOURCE],
}


def require_viewer() -> Path:
    """Return the viewer's files; skip the test by name without them, or fail it when CI=true."""
    if (_DIST / "index.html").is_file():
        return _DIST
    if os.environ.get("CI") == "true":
        pytest.fail(f"the peer ohif {VERSION} is missing: deploy/setup.sh test fetches it by npm")
    pytest.skip(f"the peer ohif {VERSION} is missing")


class _Handler(SimpleHTTPRequestHandler):
    extensions_map: ClassVar[dict[str, str]] = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".wasm": "application/wasm",
        ".js": "text/javascript",
    }
    archive: ClassVar[httpx.Client]

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments, directory=str(_DIST))  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Say nothing: a viewer asks for a hundred files."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith(_PASSED_ON):
            self._pass_on()
        elif path == "/app-config.js":
            script = f"window.config = {json.dumps(_CONFIGURATION)};"
            self._answer(HTTPStatus.OK, "text/javascript", script.encode())
        else:
            if not (_DIST / path.lstrip("/")).is_file():
                self.path = "/index.html"  # a route of the viewer's own
            super().do_GET()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        kept = {
            name: self.headers[name] for name in ("Accept", "Content-Type") if name in self.headers
        }
        # Orthanc writes absolute addresses of bulk data: they must be of this origin.
        kept["Host"] = self.headers["Host"]
        body = self.rfile.read(length) if length else None
        answer = self.archive.request(self.command, self.path, content=body, headers=kept)
        kind = answer.headers.get("Content-Type", "application/octet-stream")
        self._answer(answer.status_code, kind, answer.content)

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def a_viewer(archive_url: str) -> Iterator[str]:
    """Serve the viewer before an archive with DICOMweb at /dicom-web; give its address."""
    require_viewer()
    with httpx.Client(base_url=archive_url, timeout=60, trust_env=False) as client:
        handler = type("Handler", (_Handler,), {"archive": client})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
