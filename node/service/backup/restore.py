"""Restoring a backup into an empty node, every byte checked by its hash.

The blobs go first and the database last: a restoration that is interrupted leaves a node that is
still empty, and can be run again. The restored node gets a new installation UID, the root of
every UID that it derives from now on; the reports that are stored keep theirs and are sent on
unchanged.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from uuid import uuid4

from sqlalchemy import Engine, inspect, update

from node.audit import schema
from node.audit.seal import Sealer
from node.audit.tables import Installation
from node.audit.trail import Trail
from node.audit.verify import Verification, verify
from node.blobs import BlobStore
from node.config import Settings
from node.database import open_engine
from node.service.backup.bundles import settle_bundle
from node.service.backup.dumping import POSTGRES_FILE, SQLITE_FILE, load_postgres
from node.service.backup.errors import BackupError
from node.service.backup.key import open_key, write_key
from node.service.backup.manifest import BLOBS, CONFIGURATION, KEY, NAME, Content, Manifest
from node.service.backup.vault import Source, blob_name, digest_of, open_source
from node.service.storage import open_blobs

Progress = Callable[[int, int], None]
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot of an opened backup, its manifest read and its signature checked."""

    source: Source
    name: str
    manifest: Manifest
    sealer: Sealer

    def copy(self, name: str, to: Path) -> Path:
        """Copy a file out.

        Raises:
            BackupError: It is missing, or its bytes are not those of the manifest.
        """
        wanted = self.manifest.files.get(name)
        if wanted is None:
            raise BackupError(f"the backup lacks {name}")
        to.parent.mkdir(parents=True, exist_ok=True)
        with self.source.open(f"{self.name}/{name}") as file, to.open("wb") as out:
            if _copy_hashed(file, out) != wanted:
                raise BackupError(f"{name} of the backup is damaged")
        return to

    def blobs(self, scratch: Path) -> Iterator[str]:
        """Yield the hashes of its blobs."""
        with self.copy(BLOBS, scratch / BLOBS).open(encoding="ascii") as file:
            for line in file:
                yield line.strip()


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restoration came to.

    Attributes:
        manifest: Of the snapshot.
        snapshot: Its name.
        installation_uid: The new one.
        verification: Of the restored record.
        notes: What a person still has to do, a line each.
    """

    manifest: Manifest
    snapshot: str
    installation_uid: str
    verification: Verification
    notes: tuple[str, ...] = field(default=())


def restore(
    settings: Settings,
    path: Path,
    *,
    snapshot: str = "",
    passphrase: bytes | None = None,
    key: Path | None = None,
    actor: str = "restore",
    progress: Progress = lambda _done, _total: None,
) -> Restored:
    """Restore a backup into an empty node that is not running.

    Args:
        settings: Of the new node; its database must be of the same kind, and empty.
        path: Of the backup.
        snapshot: Which one; the newest without.
        passphrase: Opens the audit key in the backup.
        key: The file of the audit key, where it was kept elsewhere.
        actor: Who is recorded.
        progress: Called with blobs done and to do.

    Raises:
        BackupError: The backup or the node is not fit for it.
    """
    data = settings.node.data_dir
    with open_source(path) as source, TemporaryDirectory(prefix="crdl-restore-") as folder:
        scratch = Path(folder)
        one = open_snapshot(source, snapshot, passphrase, key)
        _require_empty(settings, one.manifest)
        write_key(one.sealer, settings.audit_key)
        _restore_blobs(one, open_blobs(settings, "restore"), scratch, progress)
        uid = f"2.25.{uuid4().int}"  # PS3.5 section B.2
        _restore_database(one, settings, uid, data)
        database = open_engine(settings.database_url)
        try:
            trail = Trail(actor, one.sealer)
            schema.upgrade(database)
            _note(database, trail, one, uid)
            notes = _restore_files(one, database, trail, data)
            return Restored(one.manifest, one.name, uid, verify(database, one.sealer), notes)
        finally:
            database.dispose()


def check(
    path: Path,
    *,
    snapshot: str = "",
    passphrase: bytes | None = None,
    key: Path | None = None,
    progress: Progress = lambda _done, _total: None,
) -> tuple[Manifest, str]:
    """Read a whole snapshot and compare every byte, without restoring it.

    Raises:
        BackupError: Something is missing, damaged, or not signed with the key.
    """
    with open_source(path) as source, TemporaryDirectory(prefix="crdl-check-") as folder:
        one = open_snapshot(source, snapshot, passphrase, key)
        for name in one.manifest.files:
            one.copy(name, Path(folder) / "file").unlink()
        for done, sha256 in enumerate(one.blobs(Path(folder)), 1):
            with source.open(blob_name(sha256)) as file:
                _require_blob(sha256, digest_of(file))
            progress(done, one.manifest.blobs)
        return one.manifest, one.name


def open_snapshot(
    source: Source, name: str, passphrase: bytes | None, key: Path | None
) -> Snapshot:
    """Read a snapshot's manifest and prove it with the audit key.

    Raises:
        BackupError: No such snapshot, no key, or another one.
    """
    names = sorted(source.names())
    if not names:
        raise BackupError("the backup holds no complete snapshot")
    if name and name not in names:
        raise BackupError(f"no snapshot {name}; there are {', '.join(names)}")
    name = name or names[-1]
    with source.open(f"{name}/{NAME}") as file:
        manifest = Manifest.from_json(file.read())
    if key is not None:
        if not key.is_file():
            raise BackupError(f"there is no audit key at {key}")
        sealer = Sealer.from_file(key)
    elif KEY not in manifest.files:
        raise BackupError("the backup holds no audit key: name its file with --key")
    elif passphrase is None:
        raise BackupError("name the file with the passphrase of the backup's audit key")
    else:
        with source.open(f"{name}/{KEY}") as file:
            sealer = open_key(file.read(), passphrase)
    manifest.require_signature(sealer)
    return Snapshot(source, name, manifest, sealer)


def _require_empty(settings: Settings, manifest: Manifest) -> None:
    if manifest.schema not in schema.known_revisions():
        raise BackupError(f"a newer version made the backup (schema {manifest.schema}): upgrade")
    database = open_engine(settings.database_url)
    try:
        kind = database.dialect.name
        if kind != manifest.database:
            raise BackupError(
                f"the backup is of {manifest.database}, [database] url names {kind}: "
                "restore into the same kind"
            )
        if kind == "sqlite":
            path = Path(str(database.url.database))
            if path.exists() and path.stat().st_size:
                raise BackupError(f"{path} is there already: restore into an empty node")
            return
        with database.connect() as connection:
            if inspect(connection).get_table_names():
                raise BackupError("the database has tables: restore into one that was just created")
    finally:
        database.dispose()


def _restore_blobs(one: Snapshot, store: BlobStore, scratch: Path, progress: Progress) -> None:
    for done, sha256 in enumerate(one.blobs(scratch), 1):
        if not store.verify(sha256):  # an interrupted restoration has left some
            with one.source.open(blob_name(sha256)) as file, store.writer() as out:
                _require_blob(sha256, _copy_hashed(file, out).sha256)
                out.flush()
                store.keep(Path(out.name), sha256)
        progress(done, one.manifest.blobs)


def _restore_database(one: Snapshot, settings: Settings, uid: str, data: Path) -> None:
    """Put the database in place with its new UID, in one step."""
    if one.manifest.database == "postgresql":
        with TemporaryDirectory(prefix="restoring-", dir=data) as folder:
            dump = one.copy(POSTGRES_FILE, Path(folder) / POSTGRES_FILE)
            load_postgres(dump, settings.database_url, uid)
        return
    database = open_engine(settings.database_url)
    target = Path(str(database.url.database))
    database.dispose()
    fresh = target.with_name(f"{target.name}.restoring")
    one.copy(SQLITE_FILE, fresh)
    engine = open_engine(f"sqlite:///{fresh}")
    with engine.begin() as connection:
        connection.execute(update(Installation).values(uid=uid))
    engine.dispose()  # the last connection folds the log back into the file
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            fresh.with_name(fresh.name + suffix).unlink()
    fresh.replace(target)


def _note(database: Engine, trail: Trail, one: Snapshot, uid: str) -> None:
    manifest = one.manifest
    detail = {
        "snapshot": one.name,
        "was": manifest.installation_uid,
        "blobs": manifest.blobs,
        "lacking": len(manifest.lacking),
        "head": manifest.head,
    }
    with database.begin() as connection:
        trail.record(connection, "system", "restored", uid, detail)


def _restore_files(one: Snapshot, database: Engine, trail: Trail, data: Path) -> tuple[str, ...]:
    """Lay what is neither row nor blob beside the data; return what a person has to do."""
    beside = data / "restored"
    for name in one.manifest.files:
        if name == CONFIGURATION or name.startswith(("templates/", "bundles/")):
            one.copy(name, beside / name)
    notes = []
    if (beside / CONFIGURATION).is_file():
        notes.append(f"the configuration of the backup lies at {beside / CONFIGURATION}")
    if (beside / "templates").is_dir():
        notes.append(f"report templates: set [report] templates to {beside / 'templates'}")
    for saved in one.manifest.bundles:
        home = settle_bundle(database, trail, saved, beside / saved.folder, data / "bundles")
        if home is not None and not saved.activated:
            key = "bundle" if saved.role == "serving" else "shadow"
            notes.append(f"the {saved.role} bundle: set [model] {key} to {home}")
    shutil.rmtree(beside / "bundles", ignore_errors=True)
    notes += [f"not in the backup: {path}" for path in one.manifest.outside]
    notes += [f"lacking in the node that was backed up: blob {one}" for one in one.manifest.lacking]
    return tuple(notes)


def _require_blob(sha256: str, found: str) -> None:
    if found != sha256:
        raise BackupError(f"blob {sha256} of the backup is damaged")


def _copy_hashed(source: IO[bytes], target: IO[bytes]) -> Content:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
        target.write(chunk)
    return Content(digest.hexdigest(), size)
