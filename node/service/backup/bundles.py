"""The bundles of a site in its backups; those that ship with the software need none."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from models.bundle import Bundle, shipped_bundles
from models.errors import ModelsError
from node.audit.tables import Activation
from node.audit.trail import Trail
from node.config import ModelSettings
from node.service.activation import ROLES, Choice, activate, chosen
from node.service.backup.manifest import SavedBundle
from node.service.backup.vault import Vault


def add_bundles(
    vault: Vault, connection: Connection, settings: ModelSettings
) -> tuple[tuple[SavedBundle, ...], tuple[str, ...]]:
    """Take the bundles that serve and shadow.

    Returns:
        Those that were taken, and the folders of those that do not load any more.
    """
    saved, unread = [], []
    known = inspect(connection).has_table(Activation.__tablename__)
    named: dict[str, Choice] = {}
    if known:
        named = {role: chosen(connection, role, settings) for role in ROLES}
    else:
        named = {"serving": Choice(settings.bundle), "shadow": Choice(settings.shadow)}
    for role, choice in named.items():
        if not choice.bundle or choice.bundle in shipped_bundles():
            continue
        try:
            bundle = Bundle.load(choice.bundle)
        except ModelsError:
            unread.append(choice.bundle)
            continue
        for path in sorted(bundle.folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    vault.add(f"bundles/{role}/{path.relative_to(bundle.folder)}", file)
        saved.append(
            SavedBundle(
                role,
                f"bundles/{role}",
                str(bundle.folder.resolve()),
                bundle.sha256,
                bool(choice.activated_by),
            )
        )
    return tuple(saved), tuple(unread)


def settle_bundle(
    database: Engine, trail: Trail, saved: SavedBundle, restored: Path, bundles: Path
) -> Path | None:
    """See that a bundle of the backup answers again.

    Args:
        database: Restored.
        trail: Whose actor restores.
        saved: The bundle.
        restored: Its files, checked.
        bundles: The folder for a site's bundles.

    Returns:
        Where it lies if it moved, None if it still lies where it lay.
    """
    try:
        if Bundle.load(saved.path).sha256 == saved.sha256:
            return None
    except ModelsError:
        pass  # the new machine does not have it: that is why it was saved
    home = bundles / saved.sha256[:12]
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(restored, home)
    if saved.activated:
        role = next(one for one in ROLES if one == saved.role)
        activate(database, trail, role, str(home))
    return home
