"""A push parser for multipart bodies (RFC 2046 section 5.1) that never holds a whole part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final

from node.errors import IntakeError

_HEADER_BYTES: Final = 16 << 10
_BOUNDARY_CHARACTERS: Final = 70


class MultipartError(IntakeError):
    """The body is not what its content type says."""


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins; header names are in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is complete."""


Event = PartBegin | PartData | PartEnd


def parse_content_type(value: str) -> tuple[str, Mapping[str, str]]:
    """Return the media type in lower case and its parameters (RFC 2045 section 5.1)."""
    message = Message()
    message["content-type"] = value
    parameters = message.get_params(failobj=[])
    return message.get_content_type(), {key.lower(): text for key, text in parameters[1:]}


class MultipartParser:
    """Feed it chunks of any size and take the events.

    Raises:
        MultipartError: On construction, if the boundary is not one.
    """

    def __init__(self, boundary: str) -> None:
        if not 0 < len(boundary) <= _BOUNDARY_CHARACTERS or not boundary.isascii():
            raise MultipartError("the multipart body has no usable boundary")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        # The first delimiter may open the body without the line break that belongs to it.
        self._buffer = bytearray(b"\r\n")
        self._state = "preamble"

    @property
    def complete(self) -> bool:
        """Whether the closing delimiter has come."""
        return self._state == "epilogue"

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Take a chunk and yield what it completes.

        Raises:
            MultipartError: If the body is malformed.
        """
        self._buffer += chunk
        while (events := self._step()) is not None:
            yield from events

    def _step(self) -> tuple[Event, ...] | None:
        """Consume as far as the state allows; None if more bytes are needed."""
        if self._state in ("preamble", "data"):
            return self._to_delimiter()
        if self._state == "delimiter":
            return self._after_delimiter()
        if self._state == "headers":
            return self._headers()
        self._buffer.clear()
        return None

    def _to_delimiter(self) -> tuple[Event, ...] | None:
        found = self._buffer.find(self._delimiter)
        # The last bytes may be the beginning of a delimiter.
        end = found if found >= 0 else max(0, len(self._buffer) - len(self._delimiter) + 1)
        in_part = self._state == "data"
        events: list[Event] = []
        if in_part and end:
            events.append(PartData(bytes(self._buffer[:end])))
        if found >= 0:
            del self._buffer[: found + len(self._delimiter)]
            self._state = "delimiter"
            if in_part:
                events.append(PartEnd())
            return tuple(events)
        del self._buffer[:end]
        return tuple(events) or None

    def _after_delimiter(self) -> tuple[Event, ...] | None:
        if self._buffer.startswith(b"--"):
            self._state = "epilogue"
            return ()
        line_end = self._buffer.find(b"\r\n")
        if line_end < 0 and len(self._buffer) <= _HEADER_BYTES:
            return None
        if line_end < 0 or self._buffer[:line_end].strip(b" \t"):
            raise MultipartError("a boundary is followed by something else")
        # The line break stays: it is also the one before an empty header block ends.
        del self._buffer[:line_end]
        self._state = "headers"
        return ()

    def _headers(self) -> tuple[Event, ...] | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEADER_BYTES:
                raise MultipartError("the headers of a part do not end")
            return None
        message = BytesHeaderParser().parsebytes(bytes(self._buffer[2 : end + 4]))
        del self._buffer[: end + 4]
        self._state = "data"
        return (PartBegin({key.lower(): value for key, value in message.items()}),)
