"""Real peers for tests: those of `node.bench.harness`, skipped by name where one is missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.bench import harness
from node.bench.harness import MissingPeerError, Orthanc, find, free_ports

__all__ = ["Orthanc", "free_ports", "orthanc", "require", "storescu"]


def require(name: str) -> Path:
    """Return where a peer lies; skip the test by name without it, or fail it when CI=true."""
    try:
        return find(name)
    except MissingPeerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@contextmanager
def orthanc(folder: Path, **options: Any) -> Iterator[Orthanc]:
    """The harness's Orthanc with its DICOMweb plugin; without them the test is skipped by name."""
    require("orthanc")
    require("orthanc-dicomweb")
    with harness.orthanc(folder, **options) as peer:
        yield peer


def storescu(
    host: str, port: int, files: Sequence[Path], **options: Any
) -> list[subprocess.CompletedProcess[str]]:
    """Send files with dcmtk's storescu; see the harness."""
    require("storescu")
    return harness.storescu(host, port, files, **options)
