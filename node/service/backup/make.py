"""Making a backup while the node works.

The blobs are copied first, then the database is dumped, then the blobs that only the dump knows.
So rows never refer to a blob that the backup lacks, without stopping anybody: a blob lies in the
store before its row is committed, and what expires between the two passes was copied in the
first. What comes in later is not in the dump.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from pydantic import BaseModel
from sqlalchemy import Connection, Engine, func, inspect, select, text

from node.audit import schema
from node.audit.seal import Sealer
from node.audit.tables import ChainLink, Installation
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.config import Settings
from node.database import open_engine, read_only, utc_now
from node.errors import BlobError
from node.jobs.retention import needed_blobs
from node.service.backup.bundles import add_bundles
from node.service.backup.dumping import Dump, dumped
from node.service.backup.errors import BackupError
from node.service.backup.key import seal_key
from node.service.backup.manifest import BLOBS, CONFIGURATION, KEY, Kind, Manifest
from node.service.backup.retire import retire
from node.service.backup.vault import FolderVault, TarVault, Vault
from node.service.storage import open_blobs

Progress = Callable[[int, int], None]
_EVENT = "backed-up"
_FETCHED = 1000


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a backup came to.

    Attributes:
        where: The folder or file.
        snapshot: Its name in there.
        manifest: What it holds.
        copied: Blobs that were not there from an earlier backup.
        retired: Older snapshots that were removed.
    """

    where: Path
    snapshot: str
    manifest: Manifest
    copied: int
    retired: tuple[str, ...]


def back_up(
    settings: Settings,
    target: Path,
    *,
    passphrase: bytes | None = None,
    configuration: Path | None = None,
    keep: int = 0,
    actor: str = "backup",
    progress: Progress = lambda _done, _total: None,
) -> BackupResult:
    """Back up a node, running or not.

    Args:
        settings: Of the node.
        target: A folder that may hold earlier backups, or a new file named `.tar`.
        passphrase: Seals the audit key into the backup; None leaves it out.
        configuration: The node.toml that made the settings.
        keep: Of the snapshots in a folder, the newest so many; 0 keeps all.
        actor: Who is recorded.
        progress: Called with blobs done and to do.

    Raises:
        BackupError: The database or the target refuses, or the node was never started.
    """
    now = utc_now()
    name = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z"
    if not settings.audit_key.is_file():
        raise BackupError(f"there is no audit key at {settings.audit_key}: was the node started?")
    sealer = Sealer.from_file(settings.audit_key)
    blobs = open_blobs(settings, "backup")
    database = open_engine(settings.database_url)
    vault: Vault = TarVault(target, name) if target.suffix == ".tar" else FolderVault(target, name)
    try:
        if schema.revision(database) is None:
            raise BackupError("the database is empty: there is nothing to back up")
        copied = _copy_living(database, blobs, vault, progress)
        with (
            TemporaryDirectory(prefix="crdl-backup-", dir=vault.scratch) as folder,
            dumped(database, Path(folder)) as dump,
        ):
            manifest, more = _take(settings, dump, blobs, vault, database)
        _add_rest(vault, sealer, passphrase, configuration, settings)
        outside = (*manifest.outside, *_outside(settings))
        values = {name: getattr(manifest, name) for name in Manifest.__slots__}
        values |= {"files": dict(vault.files), "outside": outside, "made_at": now.isoformat()}
        signed = Manifest(**values).signed(sealer)
        vault.commit(signed.to_json())
        retired = retire(target, keep) if keep and target.suffix != ".tar" else ()
        result = BackupResult(target, name, signed, copied + more, retired)
        _note(database, Trail(actor, sealer), result)
        return result
    finally:
        vault.close()
        database.dispose()


def _copy_living(database: Engine, blobs: BlobStore, vault: Vault, progress: Progress) -> int:
    """Copy what the node needs now; what is gone when its turn comes has expired since."""
    copied = 0
    with read_only(database) as connection:
        query = needed_blobs(connection)
        total = connection.scalar(select(func.count()).select_from(query.subquery())) or 0
    for done, sha256 in enumerate(_hashes(database), 1):
        copied += not vault.holds(sha256) and _copy(blobs, vault, sha256)
        progress(done, total)
    return copied


def _hashes(database: Engine) -> Iterator[str]:
    """Yield them in portions, so that no transaction stays open while blobs are copied."""
    last = ""
    while True:
        with read_only(database) as connection:
            found = needed_blobs(connection).subquery()
            column = found.c.blob_sha256
            query = select(column).where(column > last).order_by(column).limit(_FETCHED)
            part = connection.scalars(query).all()
        if not part:
            return
        yield from part
        last = part[-1]


def _copy(blobs: BlobStore, vault: Vault, sha256: str) -> bool:
    try:
        with blobs.open(sha256) as file:
            return vault.add_blob(sha256, file)
    except BlobError:
        return False


def _take(
    settings: Settings, dump: Dump, blobs: BlobStore, vault: Vault, database: Engine
) -> tuple[Manifest, int]:
    """Take the dump, and every blob that its rows need and the first pass has not copied."""
    count = copied = size = 0
    lacking: list[str] = []
    names = bytearray()
    for sha256 in dump.rows.scalars(needed_blobs(dump.rows)):
        if not vault.holds(sha256):
            if not _copy(blobs, vault, sha256):
                lacking.append(sha256)
                continue
            copied += 1
        count += 1
        size += vault.size_of(sha256) or 0
        names += f"{sha256}\n".encode()
    vault.add(BLOBS, io.BytesIO(names))
    with dump.path.open("rb") as file:
        vault.add(dump.path.name, file)
    bundles, unread = add_bundles(vault, dump.rows, settings.model)
    manifest = Manifest(
        made_at=utc_now().isoformat(),
        version=version("crdl-node"),
        database=cast("Kind", database.dialect.name),
        schema=dump.rows.scalar(text("SELECT version_num FROM alembic_version")) or "",
        installation_uid=dump.rows.scalar(select(Installation.uid)) or "",
        head=_head(dump.rows),
        blobs=count,
        blob_bytes=size,
        files={},
        lacking=tuple(lacking),
        bundles=bundles,
        outside=unread,
    )
    return manifest, copied


def _head(connection: Connection) -> str:
    if not inspect(connection).has_table(ChainLink.__tablename__):
        return ""
    query = select(ChainLink.sha256).order_by(ChainLink.position.desc()).limit(1)
    return connection.scalar(query) or ""


def _add_rest(
    vault: Vault,
    sealer: Sealer,
    passphrase: bytes | None,
    configuration: Path | None,
    settings: Settings,
) -> None:
    if passphrase is not None:
        vault.add(KEY, io.BytesIO(seal_key(sealer, passphrase)))
    if configuration is not None and configuration.is_file():
        with configuration.open("rb") as file:
            vault.add(CONFIGURATION, file)
    templates = settings.report.templates
    if templates is None:
        return
    for path in sorted(templates.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                vault.add(f"templates/{path.relative_to(templates)}", file)


def _outside(settings: Settings) -> tuple[str, ...]:
    """Return the files that the settings name and the backup does not hold."""
    ours = {settings.node.data_dir, settings.audit.key, settings.report.templates}
    found = []
    for section in Settings.model_fields:
        value = getattr(settings, section)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, BaseModel):
                found += [item for _, item in one if isinstance(item, Path) and item not in ours]
    return tuple(sorted({str(path) for path in found if path.is_file()}))


def _note(database: Engine, trail: Trail, result: BackupResult) -> None:
    """Record the backup; `crdl doctor` asks for the last one.

    A database that an older version wrote is left as it is: an upgrade is still to come.
    """
    if schema.revision(database) != schema.known_revisions()[-1]:
        return
    with database.begin() as connection:
        manifest = result.manifest
        detail = {
            "where": str(result.where),
            "blobs": manifest.blobs,
            "lacking": len(manifest.lacking),
            "head": manifest.head,
        }
        trail.record(connection, "system", _EVENT, result.snapshot, detail)
