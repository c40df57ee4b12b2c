"""Decoding in a process of its own, with bounded memory and time.

Decoders of compressed frames are C and C++ that read what a stranger has written. One that aborts,
hangs or eats the memory costs its frame and a new process, never a worker. The process is kept
from frame to frame; each process that decodes has one.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.imaging.channel import put, receive, send, take

DECODING_DEADLINE_S: Final = 30.0
_START_DEADLINE_S = 60.0
_ARRAY_BYTES = 1 << 30


class DecodingBrokenError(RuntimeError):
    """The decoding process died over a frame or overran its time."""


class IsolatedDecoder:
    """One decoding process, started when first needed and replaced when it breaks; thread-safe."""

    def __init__(self, deadline_s: float = DECODING_DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._memory = -1
        self._is_ready = False
        self._owner = 0

    def launch(self) -> None:
        """Start the process without waiting for it, so that the first frame is not late."""
        with self._lock:
            self._launch()

    def decode(self, description: Mapping[str, Any], frame: bytes) -> NDArray[np.generic]:
        """Have one encoded frame decoded.

        Args:
            description: `transfer_syntax` and the Image Pixel module, see `decoders.MODULE`.
            frame: The encoded frame without its fragment items.

        Raises:
            DecodingBrokenError: If the process dies over it or takes too long.
            ValueError: If the frame cannot be decoded.
        """
        with self._lock:
            channel = self._ready()
            try:
                channel.settimeout(self._deadline_s)
                put(self._memory, frame)
                send(channel, {**description, "bytes": len(frame)})
                answer = receive(channel, time.monotonic() + self._deadline_s)
                if "error" not in answer:
                    return self._pixels(tuple(answer["shape"]), np.dtype(answer["dtype"]))
            except TimeoutError as error:
                self._replace()
                raise DecodingBrokenError(
                    f"decoding took longer than {self._deadline_s:g} s"
                ) from error
            except (OSError, EOFError, ValueError) as error:
                self._replace()
                raise DecodingBrokenError("the decoder broke down over it") from error
        raise ValueError(answer["error"])

    def _pixels(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[np.generic]:
        """Take the array out of the shared memory.

        Raises:
            ValueError: If it is not there.
        """
        if math.prod(shape) * dtype.itemsize > _ARRAY_BYTES:
            raise ValueError("the array is too large")
        pixels: NDArray[np.generic] = np.empty(shape, dtype)
        take(self._memory, pixels.reshape(-1).view(np.uint8).data)
        return pixels

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _ready(self) -> socket.socket:
        self._launch()
        assert self._channel is not None  # noqa: S101 - launch made it
        if not self._is_ready:
            try:
                receive(self._channel, time.monotonic() + _START_DEADLINE_S)
            except (OSError, EOFError, ValueError) as error:
                self._stop()
                raise DecodingBrokenError("the decoding process did not start") from error
            self._is_ready = True
        return self._channel

    def _launch(self) -> None:
        if self._owner != os.getpid():  # forked: the process belongs to the parent
            self._process = self._channel = None
            self._memory = -1
        if self._process is not None and self._process.poll() is None:
            return
        self._stop()
        ours, theirs = socket.socketpair()
        self._memory = os.memfd_create("decoded frame")
        with theirs:
            numbers = [str(theirs.fileno()), str(self._memory)]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                # -P: the working folder is no source of modules.
                [sys.executable, "-P", "-m", "models.imaging.decoder_child", *numbers],
                pass_fds=(theirs.fileno(), self._memory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        self._channel, self._owner = ours, os.getpid()

    def _replace(self) -> None:
        self._stop()
        self._launch()

    def _stop(self) -> None:
        self._is_ready = False
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _environment() -> dict[str, str]:
    """This package, and one arithmetic thread: address space is limited in the child."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return os.environ | threads | {"PYTHONPATH": os.pathsep.join(paths)}


DECODER: Final = IsolatedDecoder()
"""The decoding process of this process."""
