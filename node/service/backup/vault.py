"""Where a backup lies: a folder that grows by what is new, or one tar file.

Both hold `blobs/ab/cd/SHA256` and a folder a snapshot, named by its time. Snapshots of a folder
share their blobs, so that the next backup copies only what has come since.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from node.service.backup.errors import BackupError
from node.service.backup.manifest import NAME, Content

_CHUNK = 1 << 20
_PARTIAL = ".partial"


def digest_of(source: IO[bytes]) -> str:
    """Return the SHA-256 of what is left of a stream, hexadecimal."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def blob_name(sha256: str) -> str:
    """Return the name of a blob in a backup."""
    return f"blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"


class Vault(ABC):
    """Takes the files of one snapshot; what `commit` has not closed does not exist.

    `scratch` is a folder on the same disk, for what is not finished.
    """

    def __init__(self, snapshot: str, scratch: Path) -> None:
        self.snapshot = snapshot
        self.scratch = scratch
        self.files: dict[str, Content] = {}

    def add(self, name: str, source: IO[bytes]) -> Content:
        """Take a file of the snapshot."""
        content = self._store(f"{self.snapshot}/{name}", source)
        self.files[name] = content
        return content

    def holds(self, sha256: str) -> bool:
        """Say whether a blob is here already."""
        return self.size_of(sha256) is not None

    @abstractmethod
    def size_of(self, sha256: str) -> int | None:
        """Return the bytes of a blob that is here, None if it is not."""

    @abstractmethod
    def add_blob(self, sha256: str, source: IO[bytes]) -> bool:
        """Take a blob; False, and nothing taken, if its bytes have another hash."""

    @abstractmethod
    def commit(self, manifest: bytes) -> None:
        """Take the manifest; from now on the snapshot is there."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is open; what is not committed is removed."""

    @abstractmethod
    def _store(self, name: str, source: IO[bytes]) -> Content: ...


class FolderVault(Vault):
    """A folder of snapshots."""

    def __init__(self, root: Path, snapshot: str) -> None:
        self._partial = root / f"{snapshot}{_PARTIAL}"
        super().__init__(snapshot, self._partial)
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (root / "lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"another backup is being made in {root}: wait for it") from error
        for left in root.glob(f"*{_PARTIAL}"):  # of a backup that was killed
            shutil.rmtree(left)
        self._partial.mkdir(mode=0o700)

    def size_of(self, sha256: str) -> int | None:
        """Return the bytes of a blob that is here, None if it is not."""
        try:
            return (self._root / blob_name(sha256)).stat().st_size
        except FileNotFoundError:
            return None

    def add_blob(self, sha256: str, source: IO[bytes]) -> bool:
        """Take a blob; False, and nothing taken, if its bytes have another hash."""
        path = self._root / blob_name(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._partial / "blob"
        if _write(fresh, source).sha256 != sha256:
            fresh.unlink()
            return False
        fresh.replace(path)
        return True

    def commit(self, manifest: bytes) -> None:
        """Take the manifest; the rename makes the snapshot."""
        _write(self._partial / NAME, io.BytesIO(manifest))
        _fsync(self._partial)
        self._partial.rename(self._root / self.snapshot)
        _fsync(self._root)

    def close(self) -> None:
        """Let the next backup in."""
        shutil.rmtree(self._partial, ignore_errors=True)
        self._lock.close()

    def _store(self, name: str, source: IO[bytes]) -> Content:
        path = self._partial / name.partition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        return _write(path, source)


class TarVault(Vault):
    """One tar file, written beside its final name."""

    def __init__(self, path: Path, snapshot: str) -> None:
        super().__init__(snapshot, path.parent)
        if path.exists():
            raise BackupError(f"{path} is there already: name a new file, or a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._partial = path.with_name(path.name + _PARTIAL)
        descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by commit
        self._blobs: dict[str, int] = {}

    def size_of(self, sha256: str) -> int | None:
        """Return the bytes of a blob that is here, None if it is not."""
        return self._blobs.get(sha256)

    def add_blob(self, sha256: str, source: IO[bytes]) -> bool:
        """Take a blob; False, and nothing taken, if its bytes have another hash."""
        if digest_of(source) != sha256:
            return False
        source.seek(0)
        self._blobs[sha256] = self._store(blob_name(sha256), source).size
        return True

    def commit(self, manifest: bytes) -> None:
        """Take the manifest and give the file its name."""
        self._store(f"{self.snapshot}/{NAME}", io.BytesIO(manifest))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.rename(self._path)
        _fsync(self._path.parent)

    def close(self) -> None:
        """Remove what was not committed."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def _store(self, name: str, source: IO[bytes]) -> Content:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        reader = _Hashing(source)
        self._tar.addfile(entry, reader)
        return Content(reader.sha256, size)


class Source(ABC):
    """A backup as it is read."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Yield the snapshots that are complete."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file by its whole name.

        Raises:
            BackupError: It is not there.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what was opened."""


class FolderSource(Source):
    """A folder of snapshots."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> Iterator[str]:
        """Yield the snapshots that are complete."""
        for path in self._root.glob(f"*/{NAME}"):
            if not path.parent.name.endswith(_PARTIAL):
                yield path.parent.name

    def open(self, name: str) -> IO[bytes]:
        """Open a file by its whole name."""
        try:
            return (self._root / name).open("rb")
        except OSError as error:
            raise BackupError(f"the backup lacks {name}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing stays open."""


class TarSource(Source):
    """One tar file."""

    def __init__(self, path: Path) -> None:
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed by close
            self._members = {member.name: member for member in self._tar if member.isfile()}
        except (OSError, tarfile.TarError) as error:
            raise BackupError(f"{path} is no backup: {error}") from error

    def names(self) -> Iterator[str]:
        """Yield the snapshots that are complete."""
        for name in self._members:
            folder, _, file = name.rpartition("/")
            if file == NAME:
                yield folder

    def open(self, name: str) -> IO[bytes]:
        """Open a file by its whole name."""
        member = self._members.get(name)
        opened = None if member is None else self._tar.extractfile(member)
        if opened is None:
            raise BackupError(f"the backup lacks {name}")
        return opened

    def close(self) -> None:
        """Release what was opened."""
        self._tar.close()


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a backup, folder or file.

    Raises:
        BackupError: There is none.
    """
    if path.is_dir():
        source: Source = FolderSource(path)
    elif path.is_file():
        source = TarSource(path)
    else:
        raise BackupError(f"there is no backup at {path}")
    try:
        yield source
    finally:
        source.close()


class _Hashing(io.RawIOBase):
    """A reader that hashes what passes."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._digest.update(data)
        return data

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _write(path: Path, source: IO[bytes]) -> Content:
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return Content(digest.hexdigest(), size)


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    with suppress(OSError):  # some network file systems cannot
        os.fsync(descriptor)
    os.close(descriptor)
