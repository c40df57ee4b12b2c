"""The manifest of a backup: what it holds, hashed, and signed with the audit key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self

from node.audit.seal import Sealer
from node.database import canonical_json
from node.service.backup.errors import BackupError

FORMAT = 1
"""Of the backup; a node restores its own format and older ones."""

NAME = "manifest.json"
BLOBS = "blobs.txt"
KEY = "audit.key.sealed"
CONFIGURATION = "node.toml"

Kind = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class Content:
    """One file of a backup: bytes and SHA-256 in hexadecimal."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or self.size < 0:
            raise ValueError("a file has a SHA-256 and a size")


@dataclass(frozen=True, slots=True)
class SavedBundle:
    """A bundle that is no part of the software.

    Attributes:
        role: `serving` or `shadow`.
        folder: In the backup.
        path: Where it lay.
        sha256: Of the bundle, as an activation names it.
        activated: By an audited row; else node.toml names it.
    """

    role: str
    folder: str
    path: str
    sha256: str
    activated: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a backup but its bytes.

    Attributes:
        made_at: ISO 8601, UTC: the backup holds what was committed then.
        version: Of the software that made it.
        database: Which database; it restores into the same kind only.
        schema: Revision of the database's schema.
        installation_uid: Of the node that was backed up.
        head: SHA-256 of the last link of the audit chain, "" without one.
        blobs: How many blobs its rows refer to, and their bytes in all.
        files: Every file beside the blobs, by name.
        lacking: SHA-256 of blobs that were gone or damaged in the node already.
        bundles: Those that the software does not ship.
        outside: Files that the configuration names and the backup does not hold: certificates
            and their keys, which a restored machine gets anew.
        signature: HMAC of the rest with the audit key.
    """

    made_at: str
    version: str
    database: Kind
    schema: str
    installation_uid: str
    head: str
    blobs: int
    blob_bytes: int
    files: Mapping[str, Content]
    lacking: tuple[str, ...] = ()
    bundles: tuple[SavedBundle, ...] = ()
    outside: tuple[str, ...] = ()
    signature: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format > FORMAT:
            raise BackupError(
                f"the backup has format {self.format}, this node reads up to {FORMAT}: upgrade it"
            )
        if datetime.fromisoformat(self.made_at).tzinfo is None:
            raise ValueError("made_at needs a zone")

    @property
    def statement(self) -> str:
        """What the signature covers."""
        return canonical_json(asdict(replace(self, signature="")))

    def signed(self, sealer: Sealer) -> Self:
        """Return it with its signature."""
        return replace(self, signature=sealer.sign(self.statement))

    def require_signature(self, sealer: Sealer) -> None:
        """Refuse a manifest that was not made with this audit key.

        Raises:
            BackupError: The key is another one, or the manifest was changed.
        """
        if not sealer.signed(self.statement, self.signature):
            raise BackupError(
                "the manifest was not signed with this audit key: give the key of the node that "
                "was backed up, or distrust the backup"
            )

    def to_json(self) -> bytes:
        """Return it as JSON for people and programs."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a manifest.

        Raises:
            BackupError: It is none.
        """
        try:
            values: dict[str, Any] = json.loads(data)
            values["files"] = {name: Content(**one) for name, one in values["files"].items()}
            values["bundles"] = tuple(SavedBundle(**one) for one in values["bundles"])
            for name in ("lacking", "outside"):
                values[name] = tuple(values[name])
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackupError(f"{NAME} of the backup cannot be read: {error}") from error
