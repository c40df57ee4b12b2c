"""Reading headers in child processes, so that no instance can take the receiver down.

A child has bounded memory and a deadline a header; one that crashes or hangs is replaced, and the
instance that it choked on is refused.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import node
from node.case import InstanceHeader
from node.errors import IntakeError
from node.receive.faults import OutOfResourcesError

HEADER_DEADLINE_S: Final = 10.0
_START_DEADLINE_S = 60.0
_ANSWER_BYTES = 32 << 20
_READ_BYTES = 1 << 16


class HeaderParser:
    """A small pool of header children that many threads share."""

    def __init__(self, children: int = 2, deadline_s: float = HEADER_DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        for _ in range(children):
            self._idle.put(_Child())

    def read(self, path: Path) -> InstanceHeader:
        """Read the header of a Part 10 file; waits for a free child.

        Raises:
            IntakeError: If the file is not acceptable, or its child died or overran the deadline.
            OutOfResourcesError: If no child can be started.
        """
        return InstanceHeader.from_json(self._ask("header", path)["header"])

    def content_hash(self, path: Path) -> str:
        """Hash the pixels, else the document, of a Part 10 file: `header.read_content_hash`.

        Raises:
            IntakeError: See `read`.
            OutOfResourcesError: See `read`.
        """
        return str(self._ask("content_hash", path)["content_hash"])

    def _ask(self, wanted: str, path: Path) -> Mapping[str, Any]:
        child = self._idle.get()
        try:
            return child.ask(wanted, path, self._deadline_s)
        finally:
            # Only the thread that holds the child restarts it, so a crash costs one restart.
            self._idle.put(child)

    def launch(self) -> None:
        """Start the idle children without waiting, so that the first instance is not late."""
        for child in self._take_idle():
            child.launch()
            self._idle.put(child)

    def warm_up(self) -> None:
        """Start the idle children and wait until they are ready."""
        self.launch()
        for child in self._take_idle():
            child.ready()
            self._idle.put(child)

    def _take_idle(self) -> list[_Child]:
        taken = []
        while not self._idle.empty():
            taken.append(self._idle.get())
        return taken

    def close(self) -> None:
        """End the children that are idle; call it when no thread reads any more."""
        for child in self._take_idle():
            child.stop()

    def __enter__(self) -> Self:
        self.launch()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Child:
    """One child process; started when first needed, replaced when it fails."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def launch(self) -> None:
        """Start the process if none runs; it needs a moment until it is ready.

        Raises:
            OutOfResourcesError: If it cannot be started.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.stop()
        try:
            self._process = subprocess.Popen(
                # -P: the working folder is no source of modules.
                [sys.executable, "-P", "-m", "node.receive.header_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        except OSError as error:
            raise OutOfResourcesError("no process for reading headers can be started") from error

    def ready(self) -> subprocess.Popen[bytes]:
        """Return the process once it waits for a path.

        Raises:
            OutOfResourcesError: If it does not come up.
        """
        self.launch()
        assert self._process is not None  # noqa: S101 - launch returned
        if not self._is_ready:
            try:
                _line(self._process, time.monotonic() + _START_DEADLINE_S)
            except (EOFError, TimeoutError) as error:
                self.stop()
                raise OutOfResourcesError("the process for reading headers died") from error
            self._is_ready = True
        return self._process

    def ask(self, wanted: str, path: Path, deadline_s: float) -> Mapping[str, Any]:
        """Have one file read; return what the child found.

        Raises:
            IntakeError: See `HeaderParser.read`.
        """
        process = self.ready()
        assert process.stdin is not None  # noqa: S101 - Popen was given PIPE
        try:
            process.stdin.write(json.dumps([wanted, str(path)]).encode() + b"\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(_line(process, time.monotonic() + deadline_s))
        except TimeoutError as error:
            self.stop()
            raise IntakeError(f"reading the header took longer than {deadline_s:g} s") from error
        except (OSError, EOFError, ValueError) as error:
            self.stop()
            raise IntakeError("reading the header broke the reading process") from error
        if "error" in answer:
            raise IntakeError(answer["error"])
        return answer

    def stop(self) -> None:
        """Kill the process; nothing that it was told is lost, since the receiver has the file."""
        self._is_ready = False
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None


def _environment() -> dict[str, str]:
    """The node's packages, and one arithmetic thread: address space is limited in the child."""
    root = str(Path(next(iter(node.__path__))).parent)
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return os.environ | threads | {"PYTHONPATH": os.pathsep.join(paths)}


def _line(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Read one line from the child.

    Raises:
        TimeoutError: If it is not complete by the deadline (monotonic, seconds).
        EOFError: If the child died or answers without end.
    """
    assert process.stdout is not None  # noqa: S101 - Popen was given PIPE
    descriptor = process.stdout.fileno()
    received = bytearray()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not received.endswith(b"\n"):
        if not poll.poll(1000 * max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        chunk = os.read(descriptor, _READ_BYTES)
        received += chunk
        if not chunk or len(received) > _ANSWER_BYTES:
            raise EOFError
    return bytes(received)
