"""The manifest of a bundle: the SHA-256 of every file, checked before anything is parsed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.bundles.errors import BundleContentError, BundleNotFoundError, BundleTamperedError

MANIFEST = "MANIFEST.sha256"
ALLOWED_SUFFIXES = frozenset({".json", ".toml", ".npz", ".safetensors", ".md", ".csv", ".html"})


def write_manifest(folder: Path) -> str:
    """List every file of the folder with its hash, in the form `sha256sum --check` reads.

    Returns:
        The bundle's SHA-256: that of the manifest.

    Raises:
        BundleContentError: The folder holds what a bundle may not hold.
    """
    lines = [f"{_sha256((folder / name).read_bytes())}  {name}\n" for name in _names(folder)]
    content = "".join(lines).encode()
    (folder / MANIFEST).write_bytes(content)
    return _sha256(content)


def read_verified(folder: Path) -> tuple[dict[str, bytes], str]:
    """Read a bundle's files, each exactly once and only as the manifest lists it.

    Returns:
        Content by file name, and the bundle's SHA-256.

    Raises:
        BundleNotFoundError: There is no manifest.
        BundleContentError: The folder holds what a bundle may not hold.
        BundleTamperedError: A file is missing, not listed, or has another hash.
    """
    try:
        manifest = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleNotFoundError(f"{folder} is no bundle: it has no {MANIFEST}") from error
    pinned = _parse(manifest)
    names = _names(folder)
    if set(names) != set(pinned):
        odd = min(set(names) ^ set(pinned))
        raise BundleTamperedError(f"{folder.name}: {odd} is not both listed and there")
    contents = {}
    for name in names:
        content = (folder / name).read_bytes()
        if _sha256(content) != pinned[name]:
            raise BundleTamperedError(f"{folder.name}: {name} is not the file that was listed")
        contents[name] = content
    return contents, _sha256(manifest)


def _parse(manifest: bytes) -> dict[str, str]:
    pinned = {}
    for line in manifest.decode("utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise BundleTamperedError(f"the manifest holds a line that is no hash: {line[:40]!r}")
        pinned[name] = digest
    return pinned


def _names(folder: Path) -> list[str]:
    """Every file but the manifest, sorted; the folder is flat."""
    names = []
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_file():
            raise BundleContentError(f"{folder.name}: {path.name} is not a plain file")
        if path.name == MANIFEST:
            continue
        if path.suffix not in ALLOWED_SUFFIXES:
            raise BundleContentError(f"{folder.name}: a bundle holds no {path.name}")
        names.append(path.name)
    return sorted(names)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
