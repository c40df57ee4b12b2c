"""What an instance is to the ones that the node has under the same SOP Instance UID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True, slots=True)
class Version:
    """What arrives, and what has been hashed of it and of others.

    Attributes:
        header: Of the arriving instance.
        blob_sha256: Of its file.
        hashes: Of the pixels or documents of files, by the hash of the file; None where they
            cannot be read.
    """

    header: InstanceHeader
    blob_sha256: str
    hashes: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def content(self) -> str | None:
        """The hash of its own pixels or document."""
        return self.header.pixels_sha256 or self.hashes.get(self.blob_sha256)

    def content_of(self, old: Known) -> str | None:
        """The hash of the pixels or document of another."""
        return old.header.pixels_sha256 or self.hashes.get(old.blob_sha256)


def to_hash(new: Version, known: Sequence[Known]) -> frozenset[str]:
    """Return the files of which the pixels have to be hashed before `decide` can decide.

    None of what is the first of its UID, or the very file that is there: so nearly always.
    """
    others = [old for old in known if old.standing not in _GONE]
    if not others or any(old.kept and old.blob_sha256 == new.blob_sha256 for old in others):
        return frozenset()
    files = [(new.header, new.blob_sha256)]
    files += [(old.header, old.blob_sha256) for old in others if old.kept]
    return frozenset(
        sha256 for header, sha256 in files if not header.pixels_sha256 and sha256 not in new.hashes
    )


def decide(new: Version, known: Sequence[Known], *, own: bool) -> Verdict:
    """Decide by content, never by the order of arrival alone.

    The same pixels and header, or the same bytes, are a duplicate. The same pixels under other
    demographics are an update by the archive: the latest counts. Other pixels, or such as cannot
    be read, are a conflict: both are kept and the first stays current. A version whose file is
    lost and that nothing is known of makes way.

    Args:
        new: The arriving instance; of it and of the others is hashed what `to_hash` names.
        known: Every version under its SOP Instance UID.
        own: It is an object that this node made.
    """
    version = max((old.version for old in known), default=0) + 1
    for old in known:
        if old.kept and old.standing not in _GONE and _same(new, old):
            return Verdict("duplicate", old.version, old.row, (), "duplicate")
    if own:
        return Verdict("own", version, None, (), "own")
    current = tuple(old for old in known if old.standing == "current")
    if not current:
        return Verdict("current", version, None, (), "received")
    if all(_is_update(new, old) for old in current):
        return Verdict("current", version, None, tuple(old.row for old in current), "updated")
    return Verdict("conflict", version, None, (), "conflict")


def _same(new: Version, old: Known) -> bool:
    if new.blob_sha256 == old.blob_sha256:
        return True
    # Without a hash of pixels or document the header alone proves nothing.
    return bool(new.content) and _says_the_same(new, old)


def _is_update(new: Version, old: Known) -> bool:
    content = new.content_of(old)
    if content is None:
        return not old.kept
    if content != new.content:
        return False
    # The same header under other bytes is no correction of anything, unless the blob is gone.
    return bool(content) or not old.kept or not _says_the_same(new, old)


def _says_the_same(new: Version, old: Known) -> bool:
    """Whether content and header are the same but for what a transcoding changes."""
    return new.content == new.content_of(old) and _says(new.header) == _says(old.header)


def _says(header: InstanceHeader) -> InstanceHeader:
    return replace(header, transfer_syntax_uid="", pixels_sha256="")
