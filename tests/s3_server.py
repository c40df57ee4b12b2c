"""A real S3-compatible server: moto's, in an environment of its own (deploy/setup.sh)."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.peers import free_ports

_OWN = Path(__file__).parents[1] / ".venv" / "s3" / "bin" / "moto_server"
BUCKET = "images"


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """A running server with one empty bucket; its address."""
    program = str(_OWN) if _OWN.exists() else shutil.which("moto_server")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the peer moto_server is missing")
        pytest.skip("the peer moto_server is missing")
    (port,) = free_ports(1)
    with (folder / "s3.log").open("ab") as log:
        process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        client = httpx.Client(trust_env=False)
        for _ in range(600):
            try:
                client.put(f"{address}/{BUCKET}", timeout=5).raise_for_status()
            except httpx.TransportError:
                assert process.poll() is None, (folder / "s3.log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                break
        yield address
    finally:
        process.terminate()
        process.wait(20)
