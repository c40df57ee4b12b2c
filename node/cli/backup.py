"""`crdl backup` and `crdl restore`."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import ConfigOption, JsonOption, print_json, print_rows, progress_bar
from node.config import load_settings
from node.errors import InputError

To = Annotated[
    Path | None,
    typer.Option("--to", help="A folder, which may hold earlier backups, or a new FILE.tar."),
]
From = Annotated[Path, typer.Option("--from", help="The folder or file of a backup.")]
Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Its first line seals the audit key in the backup."),
]
KeyTo = Annotated[
    Path | None, typer.Option("--key-to", help="Write the audit key here: keep it elsewhere.")
]
KeyFrom = Annotated[Path | None, typer.Option("--key", help="The audit key, kept elsewhere.")]
WithoutKey = Annotated[
    bool, typer.Option("--without-key", help="The audit key is kept elsewhere already.")
]
Keep = Annotated[
    int | None, typer.Option("--keep", min=0, help="Snapshots to keep in a folder; 0 keeps all.")
]
SnapshotName = Annotated[str, typer.Option("--snapshot", help="Which one; without, the newest.")]
Check = Annotated[bool, typer.Option("--check", help="Read and compare everything, restore none.")]
List = Annotated[bool, typer.Option("--list", help="Only name the snapshots.")]


def backup(
    to: To = None,
    passphrase_file: Passphrase = None,
    key_to: KeyTo = None,
    without_key: WithoutKey = False,
    keep: Keep = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the node while it works: database, files, key, bundles, configuration."""
    from node.audit.seal import Sealer  # noqa: PLC0415 - on demand
    from node.service.backup import back_up  # noqa: PLC0415 - SQLAlchemy on demand
    from node.service.backup.key import read_passphrase, write_key  # noqa: PLC0415

    settings = load_settings(config)
    target = to or settings.backup.folder
    if target is None:
        raise InputError("where to? Name it with --to, or set [backup] folder")
    secret = passphrase_file or settings.backup.passphrase_file
    if secret is None and key_to is None and not without_key:
        raise InputError(
            "the audit key proves the record after a restoration: seal it with --passphrase-file, "
            "write it elsewhere with --key-to, or say --without-key"
        )
    passphrase = None if secret is None else read_passphrase(secret)
    with progress_bar("backup") as progress:
        result = back_up(
            settings,
            target,
            passphrase=passphrase,
            configuration=config or Path("node.toml"),
            keep=settings.backup.keep if keep is None else keep,
            actor=f"person:{getpass.getuser()}",
            progress=progress,
        )
    if key_to is not None:
        write_key(Sealer.from_file(settings.audit_key), key_to)
    lacking = result.manifest.lacking
    if as_json:
        print_json(asdict(result))
    else:
        manifest = result.manifest
        print(
            f"{result.where} {result.snapshot}: {manifest.database} at schema {manifest.schema}, "
            f"{manifest.blobs} blobs ({manifest.blob_bytes >> 20} MiB), {result.copied} of them new"
        )
        for path in manifest.outside:
            print(f"not in the backup: {path}")
        for sha256 in lacking:
            print(f"lost or damaged in the node: blob {sha256}")
    if lacking:
        raise typer.Exit(1)


def restore(
    source: From,
    snapshot: SnapshotName = "",
    passphrase_file: Passphrase = None,
    key: KeyFrom = None,
    check: Check = False,
    only_list: List = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into an empty node, checked by hash; exit 1 if the record is not intact."""
    from node.service.backup import restore as run  # noqa: PLC0415 - SQLAlchemy on demand
    from node.service.backup.key import read_passphrase  # noqa: PLC0415
    from node.service.backup.restore import check as compare  # noqa: PLC0415
    from node.service.backup.vault import open_source  # noqa: PLC0415
    from node.service.supervisor import DataFolderLock  # noqa: PLC0415

    if only_list:
        with open_source(source) as opened:
            rows = [{"snapshot": name} for name in sorted(opened.names())]
        print_rows(rows, ("snapshot",), as_json=as_json)
        return
    settings = load_settings(config)
    secret = passphrase_file or settings.backup.passphrase_file
    passphrase = read_passphrase(secret) if secret is not None and key is None else None
    if check:
        with progress_bar("check") as progress:
            manifest, name = compare(
                source, snapshot=snapshot, passphrase=passphrase, key=key, progress=progress
            )
        if as_json:
            print_json({"snapshot": name, "manifest": asdict(manifest)})
        else:
            print(f"{name} is whole: {manifest.blobs} blobs, {len(manifest.files)} other files")
        return
    lock = DataFolderLock(settings.node.data_dir)
    with progress_bar("restore") as progress:
        result = run(
            settings,
            source,
            snapshot=snapshot,
            passphrase=passphrase,
            key=key,
            actor=f"person:{getpass.getuser()}",
            progress=progress,
        )
    lock.release()
    if as_json:
        print_json(asdict(result) | {"intact": result.verification.intact})
    else:
        print(
            f"{result.snapshot} restored as installation {result.installation_uid}: "
            f"{result.manifest.blobs} blobs, {result.verification.rows} ledger rows compared"
        )
        for note in result.notes:
            print(note)
        for fault in result.verification.faults:
            print(f"{fault.kind}: {fault.where} {fault.number} {fault.detail}")
    if not result.verification.intact:
        raise typer.Exit(1)
