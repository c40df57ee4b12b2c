"""A file in the spool that grows while its bytes arrive."""

from __future__ import annotations

import hashlib
import re
from io import FileIO
from pathlib import Path
from secrets import token_hex
from typing import Final, Self

from node.errors import IntakeError
from node.receive.faults import OutOfResourcesError, TooLargeError

_TOLERATED: Final = 2  # times the size of an instance, before its sender is cut off
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def own_spool(spool: Path, name: str) -> Path:
    """Return a folder of the spool that belongs to one process, empty.

    What lies in it was left by a killed predecessor and was never acknowledged. A process never
    clears the folders of others: their files may be arriving.

    Args:
        spool: The spool of the blob store.
        name: Names the process, the same over restarts: letters, digits, - and _.

    Raises:
        ValueError: If the name is another.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"no name for a folder: {name!r}")
    folder = spool / name
    folder.mkdir(exist_ok=True)
    for leftover in folder.iterdir():
        leftover.unlink(missing_ok=True)
    return folder


class SpoolFile:
    """A Part 10 file that grows; after a failure it swallows the rest of the data set.

    It has the part of a temporary file's face that pynetdicom uses: name, file, write, flush and
    close.

    Attributes:
        failure: Why the data set is not all there; None if it is.
    """

    def __init__(self, spool: Path, maximum_bytes: int, failure: IntakeError | None = None) -> None:
        self.failure = failure
        self._maximum_bytes = maximum_bytes
        self._size = 0
        self._digest = hashlib.sha256()
        self.name = str(spool / f"{token_hex(16)}.part")
        # Without a buffer: what comes are pieces of a PDU's size.
        self._file = FileIO(self.name, "xb")

    @property
    def path(self) -> Path:
        """Where it lies."""
        return Path(self.name)

    @property
    def file(self) -> Self:
        """The library flushes `file` after every fragment."""
        return self

    @property
    def sha256(self) -> str:
        """The hash of all that was written, in hexadecimal; of the file, unless it failed."""
        return self._digest.hexdigest()

    def flush(self) -> None:
        """There is no buffer."""

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes, unless something has failed before.

        Raises:
            TooLargeError: If the sender goes on long after the instance was too large.
        """
        self._size += len(data)
        if self._size > _TOLERATED * self._maximum_bytes:
            raise TooLargeError("a data set goes on without end")
        if self.failure is not None:
            return len(data)
        try:
            if self._size > self._maximum_bytes:
                mib = self._maximum_bytes >> 20
                self.failure = TooLargeError(f"the instance is larger than {mib} MiB")
                self._file.truncate(0)  # it is not kept: others may have the room
            else:
                self._digest.update(data)
                self._append(memoryview(data))
        except OSError as error:
            self.failure = _unwritable(error)
        return len(data)

    def _append(self, data: memoryview) -> None:
        while data:  # the system may take less than it is given
            data = data[self._file.write(data) :]

    def close(self) -> None:
        """Let nothing more be written."""
        try:
            self._file.close()
        except OSError as error:
            self.failure = self.failure or _unwritable(error)

    def discard(self) -> None:
        """Close and remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def _unwritable(error: OSError) -> IntakeError:
    return OutOfResourcesError(f"cannot write to the spool: {error.strerror}")
