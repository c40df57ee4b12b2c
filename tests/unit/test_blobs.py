"""Blobs are durable when `put` returns, and lie under names of our own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from node.blobs import BlobStore
from node.errors import BlobError


@pytest.fixture
def a_store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", "test")


def test_what_was_put_can_be_opened_by_its_hash(a_store: BlobStore) -> None:
    blob = a_store.put(b"ultrasound")
    assert blob.sha256 == hashlib.sha256(b"ultrasound").hexdigest()
    assert blob.size == 10
    with a_store.open(blob.sha256) as file:
        assert file.read() == b"ultrasound"


def test_the_same_bytes_are_kept_once(a_store: BlobStore) -> None:
    assert a_store.put(b"twice") == a_store.put(b"twice")
    files = [p for p in a_store.root.rglob("*") if p.is_file()]
    assert len(files) == 1


def test_bytes_reach_the_disk_before_their_name_does(
    a_store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        order.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    a_store.put(b"in order")
    assert order[0] == "file"
    assert order.index("file") < order.index("rename") < len(order) - 1
    assert order[-1] == "folder"


def test_an_absent_blob_is_a_named_error(a_store: BlobStore) -> None:
    with pytest.raises(BlobError, match="not in the store"):
        a_store.open("0" * 64)


def test_a_changed_blob_is_noticed(a_store: BlobStore) -> None:
    blob = a_store.put(b"truth")
    assert a_store.verify(blob.sha256)
    a_store.path(blob.sha256).write_bytes(b"lie")
    assert not a_store.verify(blob.sha256)


def test_deleting_twice_is_no_error(a_store: BlobStore) -> None:
    blob = a_store.put(b"gone")
    a_store.delete(blob.sha256)
    a_store.delete(blob.sha256)
    assert not a_store.verify(blob.sha256)


def test_a_sweep_removes_only_the_spool_of_its_own_process(a_store: BlobStore) -> None:
    neighbour = BlobStore(a_store.root, "neighbour")
    (a_store.spool / "half").write_bytes(b"half an image")
    (neighbour.spool / "arriving").write_bytes(b"still coming")
    kept = a_store.put(b"kept")
    assert a_store.sweep_spool() == 1
    assert (neighbour.spool / "arriving").exists()
    assert a_store.verify(kept.sha256)


def test_an_abandoned_writer_leaves_nothing(a_store: BlobStore) -> None:
    with a_store.writer() as file:
        file.write(b"half")
    assert list(a_store.spool.iterdir()) == []
