"""Blobs in an object store that several machines share; each keeps a bounded cache beside it.

An object store has no rename and no locks, and needs neither: an object appears whole under the
hash of its content, and writing it twice writes the same bytes. What is kept is in the store
before the caller commits the row that names it. Reads go to the cache first.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from node.blobs import Blob, BlobStore
from node.errors import BlobError

_IN_USE_S: Final = 600.0
_log = logging.getLogger(__name__)


class FileSystem(Protocol):
    """What is asked of an fsspec file system; paths begin with the bucket."""

    def put_file(self, lpath: str, rpath: str) -> None:
        """Write an object from a file."""

    def get_file(self, rpath: str, lpath: str) -> None:
        """Read an object into a file."""

    def cat_file(self, path: str) -> bytes:
        """Read an object."""

    def modified(self, path: str) -> datetime:
        """Tell when an object was last written."""

    def rm_file(self, path: str) -> None:
        """Delete an object."""


Listing = Callable[[], Iterable[tuple[str, datetime]]]
"""Gives the name within the bucket of every object, and when it was last written."""


@dataclass
class _Cached:
    """How much the cache holds, counted roughly and anew at each sweep."""

    size: int = 0
    counted: bool = False


class SharedBlobStore(BlobStore):
    """A blob store whose truth is an object store.

    Args:
        root: The local folder for spool and cache.
        process: As for `BlobStore`.
        remote: The file system of the object store.
        prefix: Bucket and path within it.
        listing: Of what lies below the prefix; fsspec's own tells no times.
        cache_bytes: What the cache may hold; files used in the last ten minutes stay.
    """

    def __init__(
        self,
        root: Path,
        process: str,
        remote: FileSystem,
        prefix: str,
        listing: Listing,
        cache_bytes: int,
    ) -> None:
        super().__init__(root, process)
        self._remote = remote
        self._prefix = prefix.rstrip("/")
        self._listing = listing
        self._cache_bytes = cache_bytes
        self._cached = _Cached()
        self._lock = threading.Lock()

    def path(self, sha256: str) -> Path:
        """Return where a blob lies here, fetched first where it is not; it may be nowhere.

        Raises:
            BlobError: If the object store does not answer.
        """
        place = self._place(sha256)
        with suppress(FileNotFoundError):
            os.utime(place)  # used: the sweep of the cache leaves it
            return place
        self._fetch(sha256, place)
        return place

    def harden(self, spooled: Path, sha256: str | None = None) -> Blob:
        """Put the bytes of a spool file into the object store, where they are durable.

        Raises:
            BlobError: If it does not take them.
        """
        try:
            with spooled.open("rb") as file:
                if sha256 is None:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise BlobError(f"cannot store {spooled.name}: {error.strerror}") from error
        self._ask("store", sha256, lambda key: self._remote.put_file(str(spooled), key))
        self._make_room(size)
        return Blob(sha256, size)

    def verify(self, sha256: str) -> bool:
        """Tell whether the object store has a blob and it still has its content."""
        try:
            data = self._remote.cat_file(self._key(sha256))
        except FileNotFoundError:
            return False
        except Exception as error:
            raise _unanswered("read", sha256, error) from error
        return hashlib.sha256(data).hexdigest() == sha256

    def delete(self, sha256: str) -> None:
        """Remove a blob here and there; no error if it is gone already."""
        with suppress(FileNotFoundError):
            self._ask("delete", sha256, self._remote.rm_file)
        self._place(sha256).unlink(missing_ok=True)

    def expire(self, sha256: str, before: datetime) -> bool:
        """Remove a blob that nobody has kept since `before`; tell whether it is gone.

        Keeping writes the object anew. An object store cannot exclude that in the milliseconds
        between the look and the deletion; whoever asks here has looked at the rows before, and
        `before` is days ago.
        """
        try:
            written = self._ask("look at", sha256, self._remote.modified)
        except FileNotFoundError:
            self._place(sha256).unlink(missing_ok=True)
            return True
        if written >= before:
            return False
        self.delete(sha256)
        return True

    def older_than(self, before: datetime) -> Iterator[str]:
        """Yield the hashes of the blobs that nobody has kept since `before`."""
        try:
            for key, written in self._listing():
                name = key.rpartition("/")[2]
                if self._key(name).endswith(f"/{key}") and written < before:
                    yield name
        except Exception as error:
            raise _unanswered("list", self._prefix, error) from error

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    def _ask(self, what: str, sha256: str, act: Any) -> Any:  # noqa: ANN401 - fsspec's
        try:
            return act(self._key(sha256))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise _unanswered(what, sha256, error) from error

    def _fetch(self, sha256: str, place: Path) -> None:
        """Bring a blob here under its final name at once, if the object store has it."""
        place.parent.mkdir(parents=True, exist_ok=True)
        arriving = self.spool / f"fetched-{uuid4().hex}"
        try:
            self._ask("read", sha256, lambda key: self._remote.get_file(key, str(arriving)))
            with arriving.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise BlobError(f"the object store has other bytes under {sha256}")
                size = os.fstat(file.fileno()).st_size
            self._make_room(size)
            arriving.replace(place)
        except FileNotFoundError:
            return
        finally:
            arriving.unlink(missing_ok=True)

    def _make_room(self, more: int) -> None:
        """Keep the cache within its bound: what was used longest ago goes first."""
        with self._lock:
            self._cached.size += more
            if self._cached.counted and self._cached.size <= self._cache_bytes:
                return
            files = []
            for path in self.root.glob("??/*"):
                with suppress(FileNotFoundError):
                    about = path.stat()
                    files.append((about.st_mtime, about.st_size, path))
            held = more + sum(size for _, size, _ in files)
            newest = time.time() - _IN_USE_S
            for used, size, path in sorted(files):
                if held <= self._cache_bytes or used > newest:
                    break
                path.unlink(missing_ok=True)
                held -= size
            self._cached = _Cached(held, counted=True)


def _unanswered(what: str, name: str, error: Exception) -> BlobError:
    reason = (str(error).splitlines() or [""])[0][:200]
    _log.warning("object store: cannot %s %s: %s", what, name, reason)
    return BlobError(f"the object store did not {what} {name}: {type(error).__name__}: {reason}")
