"""The blob store: bytes by content hash, durable when `put` returns.

Every room that keeps bytes (receive, web, report, deliver) shares it. Names on disk are ours:
the SHA-256 of the content, never anything that was received.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader, FileIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from node.boundaries import passing
from node.errors import BlobError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """Stored bytes: their SHA-256 in hexadecimal and their length."""

    sha256: str
    size: int


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_before(path: Path, moment: datetime) -> bool:
    return path.stat().st_mtime < moment.timestamp()


class BlobStore:
    """Blobs under one folder, with a spool for bytes that are still arriving.

    The spool lies on the same file system, so that keeping a file is one atomic rename. Each
    process has a spool of its own, so that sweeping it at a start touches nobody else's bytes.
    """

    def __init__(self, root: Path, process: str = "any") -> None:
        self.root = root
        self.spool = root / "spool" / process
        self.spool.mkdir(parents=True, exist_ok=True)
        self._make_folders()

    def _make_folders(self) -> None:
        """Make all folders of the store at once, so that keeping a blob never makes one."""
        if (self.root / "ff").is_dir():
            return
        for number in range(256):
            (self.root / f"{number:02x}").mkdir(exist_ok=True)
        _fsync_folder(self.root)

    def path(self, sha256: str) -> Path:
        """Return where a blob lies (or would lie)."""
        return self._place(sha256)

    def _place(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    def put(self, data: bytes) -> Blob:
        """Keep bytes; they are on the disk under their name when this returns."""
        with self.writer() as file:
            file.write(data)
            file.flush()  # keep() opens the file by its name
            return self.keep(Path(file.name), hashlib.sha256(data).hexdigest())

    @contextmanager
    def writer(self) -> Iterator[IO[bytes]]:
        """A spool file to fill; what `keep` has not taken by the end is removed."""
        with NamedTemporaryFile(dir=self.spool, delete=False) as file:
            try:
                yield file.file
            finally:
                Path(file.name).unlink(missing_ok=True)

    def keep(self, spooled: Path, sha256: str | None = None) -> Blob:
        """Move a spool file into the store: fsync file, rename, fsync folder.

        Args:
            spooled: A closed or flushed file in `spool`.
            sha256: Its hash if the caller has computed it already.

        Raises:
            BlobError: If the file cannot be stored, for example because the disk is full.
        """
        blob = self.harden(spooled, sha256)
        self.move(spooled, blob.sha256)
        return blob

    def harden(self, spooled: Path, sha256: str | None = None) -> Blob:
        """Put the bytes of a spool file on the disk: the first half of keeping it.

        Raises:
            BlobError: If the disk does not take them.
        """
        try:
            with FileIO(spooled, "rb+") as file:
                if sha256 is None:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
                blob = Blob(sha256, os.fstat(file.fileno()).st_size)
            passing("file-synced")
        except OSError as error:
            raise BlobError(f"cannot store {spooled.name}: {error.strerror}") from error
        return blob

    def move(self, hardened: Path, sha256: str) -> None:
        """Move a hardened spool file into the store: rename it, then fsync its folder.

        When this returns it is on the disk under its name.

        Raises:
            BlobError: If it cannot be moved.
        """
        target = self._place(sha256)
        try:
            with self._hold(fcntl.LOCK_SH):
                hardened.replace(target)
            passing("renamed")
            _fsync_folder(target.parent)
        except OSError as error:
            raise BlobError(f"cannot store a received file: {error.strerror}") from error

    def open(self, sha256: str) -> BufferedReader:
        """Open a blob for reading.

        Raises:
            BlobError: If it is not there.
        """
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError as error:
            raise BlobError(f"blob {sha256} is not in the store") from error

    def verify(self, sha256: str) -> bool:
        """Tell whether a blob is there and still has its content."""
        try:
            with self.open(sha256) as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except BlobError:
            return False

    def delete(self, sha256: str) -> None:
        """Remove a blob; no error if it is gone already."""
        self.path(sha256).unlink(missing_ok=True)

    def expire(self, sha256: str, before: datetime) -> bool:
        """Remove a blob that nobody has kept since `before`; tell whether it is gone.

        Whoever keeps the same bytes at this moment, row still to come, finds them afterwards:
        keeping makes the file new, and the two exclude each other.
        """
        path = self.path(sha256)
        with self._hold(fcntl.LOCK_EX):
            try:
                if path.stat().st_mtime >= before.timestamp():
                    return False
                path.unlink()
            except FileNotFoundError:
                return True
        return True

    def older_than(self, before: datetime) -> Iterator[str]:
        """Yield the hashes of the blobs that nobody has kept since `before`."""
        for path in self.root.glob("??/*"):
            with suppress(FileNotFoundError):
                if path.name[:2] == path.parent.name and _is_before(path, before):
                    yield path.name

    def expire_spool(self, before: datetime) -> int:
        """Remove the spool files of every process that nothing was written to since `before`."""
        count = 0
        for path in (self.root / "spool").rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file() and _is_before(path, before):
                    path.unlink()
                    count += 1
        return count

    @contextmanager
    def _hold(self, mode: int) -> Iterator[None]:
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, mode)  # each opens it anew: threads exclude each other, too
            yield
        finally:
            os.close(descriptor)

    def free_bytes(self) -> int:
        """Return the free space of the file system that holds the store."""
        return shutil.disk_usage(self.root).free

    def sweep_spool(self) -> int:
        """Remove what a killed receiver left in the spool; nothing of it was acknowledged."""
        leftovers = [path for path in self.spool.iterdir() if path.is_file()]
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)
