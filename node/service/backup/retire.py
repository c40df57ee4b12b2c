"""Removing old snapshots of a folder, and the blobs that only they needed."""

from __future__ import annotations

import shutil
from pathlib import Path

from node.service.backup.manifest import BLOBS, NAME


def retire(root: Path, keep: int) -> tuple[str, ...]:
    """Keep the newest snapshots.

    Args:
        root: The folder of snapshots, whose lock the caller holds.
        keep: So many, at least one.

    Returns:
        The names of those that were removed.
    """
    if keep < 1:
        raise ValueError("one backup is kept at least")
    snapshots = sorted(path.parent for path in root.glob(f"*/{NAME}"))
    old, kept = snapshots[:-keep], snapshots[-keep:]
    if not old:
        return ()
    for folder in old:
        # Without its manifest it is no snapshot, so a kill here leaves nothing half valid.
        (folder / NAME).unlink()
        shutil.rmtree(folder)
    needed: set[bytes] = set()
    for folder in kept:
        with (folder / BLOBS).open("rb") as file:
            needed.update(bytes.fromhex(line.strip().decode()) for line in file)
    for path in (root / "blobs").glob("??/??/*"):
        if bytes.fromhex(path.name) not in needed:
            path.unlink()
    return tuple(folder.name for folder in old)
