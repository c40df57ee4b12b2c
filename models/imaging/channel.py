"""Messages to and from the process that decodes; the bulk goes by shared memory."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

_LENGTH = struct.Struct(">I")
_MESSAGE_BYTES = 1 << 16


def send(channel: socket.socket, message: Mapping[str, Any]) -> None:
    """Send a message.

    Raises:
        OSError: If the other side is gone; TimeoutError, if it does not read.
    """
    data = json.dumps(message).encode()
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive(channel: socket.socket, deadline: float | None = None) -> dict[str, Any]:
    """Receive a message.

    Args:
        channel: Where from.
        deadline: By the monotonic clock, in seconds; None waits.

    Raises:
        EOFError: If the other side has ended.
        TimeoutError: If the message is not there by the deadline.
        ValueError: If it is no message, or too long.
    """
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size, deadline))
    if length > _MESSAGE_BYTES:
        raise ValueError("the message is too long")
    message: dict[str, Any] = json.loads(_exactly(channel, length, deadline))
    return message


def put(memory: int, data: bytes | memoryview) -> None:
    """Make bytes the content of shared memory.

    Raises:
        OSError: If they do not fit.
    """
    os.ftruncate(memory, 0)
    if os.pwrite(memory, data, 0) != len(data):
        raise OSError("shared memory does not take so much at once")


def take(memory: int, into: memoryview) -> None:
    """Fill a buffer from shared memory and leave that empty.

    Raises:
        ValueError: If it holds something of another size.
    """
    size = os.fstat(memory).st_size
    got = os.preadv(memory, [into], 0) if size == len(into) else 0
    os.ftruncate(memory, 0)
    if got != len(into):
        raise ValueError("what was announced is not there")


def _exactly(channel: socket.socket, count: int, deadline: float | None) -> bytearray:
    received = bytearray(count)
    view, have = memoryview(received), 0
    while have < count:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            channel.settimeout(left)
        piece = channel.recv_into(view[have:])
        if not piece:
            raise EOFError
        have += piece
    return received
