"""Ports of the loopback."""

from __future__ import annotations

import socket
import subprocess
import time

from node.bench.harness.programs import HarnessError

LOOPBACK = "127.0.0.1"
_START_S = 60.0
_POLL_S = 0.05


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback that nobody listens on, all different."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(number)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def wait_for_listener(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    """Wait until somebody listens on a port.

    Raises:
        HarnessError: If the process ends first, or nobody does in a minute.
    """
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            time.sleep(_POLL_S)
        else:
            return
    raise HarnessError(f"{name} did not start on port {port}")
