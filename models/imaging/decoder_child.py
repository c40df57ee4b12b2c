"""The process that decodes compressed frames: a frame in, an array or a reason out.

Started by `isolated` as `python -m models.imaging.decoder_child CHANNEL MEMORY`, descriptors of
a socket and of shared memory, which holds the frame and then the pixels. It ends with the channel.
What a decoder does to it (abort, memory, endless loop) ends this process and no other.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from models.imaging.channel import put, receive, send, take
from models.imaging.decoders import DECODER_FAILURES, MODULE, decode_here

DECODER_MEMORY_BYTES: Final = 1 << 30
"""Address space that decoding one frame may take."""

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Answer until the channel ends."""
    _restrict()
    warnings.simplefilter("ignore")
    memory = int(sys.argv[2])
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        send(channel, {"ready": True})
        while True:
            try:
                description = receive(channel)
            except EOFError:
                return
            send(channel, _answer(description, memory))


def _answer(description: dict[str, Any], memory: int) -> dict[str, Any]:
    try:
        frame = bytearray(description["bytes"])
        take(memory, memoryview(frame))
        pixels = np.ascontiguousarray(decode_here(_dataset(description, bytes(frame)), 0))
        put(memory, pixels.reshape(-1).view(np.uint8).data)
    except MemoryError:
        return {"error": "decoding takes more memory than it may"}
    except DECODER_FAILURES as error:
        return {"error": " ".join(str(error).split())[:500] or type(error).__name__}
    return {"shape": pixels.shape, "dtype": pixels.dtype.str}


def _dataset(description: dict[str, Any], frame: bytes) -> Dataset:
    """Return an instance that holds nothing but the frame and how to read it."""
    dataset = Dataset()
    for keyword in MODULE:
        if (value := description.get(keyword)) is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate([frame], has_bot=False)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(description["transfer_syntax"])
    return dataset


def _restrict() -> None:
    """Allow so much memory beyond what the interpreter has taken, and no core dump."""
    with suppress(OSError, AttributeError):  # not on Linux: the end of the channel must do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + DECODER_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
