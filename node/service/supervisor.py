"""One process tree: receiver, worker, sender and web as processes of their own.

Inference never slows reception, a crash of one role never takes another down, and a killed role
is started again and resumes what it had begun.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from node.errors import ConfigurationError, CrdlError

ROLES = ("receive", "work", "deliver", "web")
READY = "ready"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_START_S = 600.0  # a busy machine, weights from a slow disk
_DRAIN_S = 60.0
_PORT_SHARERS = frozenset({"receive"})
_STEADY_S = 30.0  # a role that ran this long starts again without delay
_log = logging.getLogger(__name__)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, however it dies."""
    with suppress(OSError, AttributeError):  # not on Linux: the parent's SIGTERM must do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class DataFolderLock:
    """Only one embedded node may work in a data folder; the kernel frees it after any death."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._file = (data_dir / "node.lock").open("a")
        deadline = time.monotonic() + 5.0
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ConfigurationError(
                        f"another node is running in {data_dir}; stop it or choose another data_dir"
                    ) from error
                time.sleep(0.1)
            else:
                return

    def release(self) -> None:
        """Let the next node in; the kernel does the same when this process dies."""
        self._file.close()


@dataclass
class Child:
    """One role's process."""

    role: str
    arguments: Sequence[str]
    number: int = 1
    process: subprocess.Popen[str] | None = None
    ready: dict[str, str] = field(default_factory=dict)
    is_ready: threading.Event = field(default_factory=threading.Event)
    started_at: float = 0.0
    restart_at: float | None = None
    failures: int = 0
    leader: Child | None = None

    def start(self) -> None:
        """Start the process and read its announcement in the background."""
        self.is_ready.clear()
        self.restart_at = None
        self.started_at = time.monotonic()
        command = [sys.executable, "-m", "node", "serve", "--role", self.role, *self.arguments]
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"CRDL_SUPERVISED": str(self.number)} | self._same_ports(),
        )
        if self.process.stdout is None:
            raise CrdlError(f"the {self.role} process has no output")
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()

    def _same_ports(self) -> dict[str, str]:
        """A restarted role listens where it was announced, also if the port was chosen freely.

        One that shares a port listens where the first of its role was announced.
        """
        names = {
            "dicom": "CRDL_NODE__PORT",
            "web": "CRDL_WEB__PORT",
            "mllp": "CRDL_READING__MLLP_PORT",
        }
        ready = self.leader.ready if self.leader is not None else self.ready
        return {names[key]: address.rpartition(":")[2] for key, address in ready.items()}

    def _listen(self, output: IO[str]) -> None:
        for line in output:
            if line.startswith(READY):
                self.ready = dict(pair.split("=", 1) for pair in line.split()[1:])
                self.is_ready.set()

    def exited(self) -> int | None:
        """Return the exit status, None while it runs."""
        return None if self.process is None else self.process.poll()

    def pause_before_restart(self) -> float:
        """Return the seconds to wait before the process is started again."""
        if time.monotonic() - self.started_at > _STEADY_S:
            self.failures = 0
        self.failures += 1
        return float(min(0.2 * 2 ** (self.failures - 1), 30.0))


class Supervisor:
    """Starts the roles, announces them, restarts what dies, drains on SIGTERM."""

    def __init__(self, arguments: Sequence[str], roles: Sequence[str] = ROLES) -> None:
        # Of one role there may be several: each has a number, which stays its own.
        self._children = [
            Child(role, tuple(arguments), roles[:place].count(role) + 1)
            for place, role in enumerate(roles)
        ]
        first = {child.role: child for child in self._children if child.number == 1}
        for child in self._children:
            if child.role in _PORT_SHARERS and child.number > 1:
                child.leader = first[child.role]
        self._stop = threading.Event()

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, self._pass_on)
        for child in self._children:
            if child.leader is None:
                child.start()
        if not self._announce():
            return self._drain(1)
        while not self._stop.wait(0.1):
            self._restart_dead()
        return self._drain(0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop.set()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Hand SIGHUP to the roles that are ready for it; they renew their certificates."""
        del frame
        for child in self._children:
            if child.process is not None and child.exited() is None and child.is_ready.is_set():
                child.process.send_signal(number)

    def _announce(self) -> bool:
        deadline = time.monotonic() + _START_S
        for child in sorted(self._children, key=lambda child: child.leader is not None):
            if child.process is None:
                child.start()  # its leader is ready: the port is known
            while not child.is_ready.wait(0.05):
                if self._stop.is_set():
                    return True
                if child.exited() is not None or time.monotonic() > deadline:
                    _log.error("the %s process did not start", child.role)
                    return False
        served = {key: value for child in self._children for key, value in child.ready.items()}
        print(" ".join([READY, *(f"{k}={v}" for k, v in served.items())]), flush=True)  # noqa: T201 - the contract
        return True

    def _restart_dead(self) -> None:
        for child in self._children:
            status = child.exited()
            if status is None:
                continue
            if child.restart_at is None:
                pause = child.pause_before_restart()
                child.restart_at = time.monotonic() + pause
                _log.error(
                    "the %s process ended with %d; restart in %.1f s", child.role, status, pause
                )
            elif time.monotonic() >= child.restart_at:
                child.start()

    def _drain(self, status: int) -> int:
        running = [c.process for c in self._children if c.process and c.exited() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _DRAIN_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("process %d did not drain in time; killing it", process.pid)
                process.kill()
                process.wait()
        return status
