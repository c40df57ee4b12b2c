"""The line that says that a process is ready, and how long it may take to end."""

from __future__ import annotations

from typing import Final

from node.service.supervisor import READY

DRAIN_S: Final = 30.0
"""How long a process that is told to stop waits for what it is at."""


def announce(**served: str) -> None:
    """Say that the process is ready, and where it listens."""
    print(" ".join([READY, *(f"{key}={value}" for key, value in served.items())]), flush=True)  # noqa: T201 - the contract
