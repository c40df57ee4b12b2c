"""What an instance is to the ones that the node has under the same SOP Instance UID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from node.case import InstanceHeader

Standing = Literal["current", "superseded", "duplicate", "conflict", "own"]
"""Of what arrives; time makes a row `expired`, and then the same instance is new again."""

_GONE = frozenset({"superseded", "expired"})


@dataclass(frozen=True, slots=True)
class Known:
    """A version that the node has.

    Attributes:
        row: Id of its row.
        kept: Its blob is in the store; only then a second copy may be left out.
    """

    row: int
    version: int
    standing: str
    header: InstanceHeader
    blob_sha256: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an arriving instance.

    Attributes:
        standing: Its standing; a `duplicate` makes no row.
        version: Its version; of a duplicate, that of the version it equals.
        row: The row that a duplicate equals.
        supersedes: Rows that are no longer current.
        event: The word for the ledger.
    """

    standing: Standing
    version: int
    row: int | None
    supersedes: tuple[int, ...]
    event: str


def decide(
    header: InstanceHeader, blob_sha256: str | None, known: Sequence[Known], *, own: bool
) -> Verdict:
    """Decide by content, never by the order of arrival alone.

    The same pixels and header, or the same bytes, are a duplicate. The same pixels under other
    demographics are an update by the archive: the latest counts. Other pixels are a conflict:
    both are kept and the first stays current.

    Args:
        header: Of the arriving instance.
        blob_sha256: Of its file, None before it is stored.
        known: Every version under its SOP Instance UID.
        own: It is an object that this node made.
    """
    version = max((old.version for old in known), default=0) + 1
    for old in known:
        if old.kept and old.standing not in _GONE and _same(header, blob_sha256, old):
            return Verdict("duplicate", old.version, old.row, (), "duplicate")
    if own:
        return Verdict("own", version, None, (), "own")
    current = tuple(old for old in known if old.standing == "current")
    if not current:
        return Verdict("current", version, None, (), "received")
    if all(_is_update(header, old) for old in current):
        return Verdict("current", version, None, tuple(old.row for old in current), "updated")
    return Verdict("conflict", version, None, (), "conflict")


def _same(header: InstanceHeader, blob_sha256: str | None, old: Known) -> bool:
    if blob_sha256 is not None and blob_sha256 == old.blob_sha256:
        return True
    # Without a hash of pixels or document the header alone proves nothing.
    return bool(header.pixels_sha256) and _says(header) == _says(old.header)


def _is_update(header: InstanceHeader, old: Known) -> bool:
    if header.pixels_sha256 != old.header.pixels_sha256:
        return False
    # The same header under other bytes is no correction of anything, unless the blob is gone.
    return bool(header.pixels_sha256) or not old.kept or _says(header) != _says(old.header)


def _says(header: InstanceHeader) -> InstanceHeader:
    """The header without what a mere change of the transfer syntax changes."""
    return replace(header, transfer_syntax_uid="")
