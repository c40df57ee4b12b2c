"""Blobs in a real S3-compatible server, seen by two machines."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from node.blobs import BlobStore
from node.config import Settings
from node.database import utc_now
from node.errors import BlobError, ConfigurationError
from node.service.storage import open_blobs
from tests.s3_server import BUCKET, s3_server


@pytest.fixture(scope="module")
def a_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


def settings(folder: Path, address: str, **blobs: object) -> Settings:
    folder.mkdir(exist_ok=True)
    for name in ("access", "secret"):
        (folder / name).write_text(f"{name}-key\n")
    return Settings(
        node={"data_dir": folder},
        blobs={
            "url": f"s3://{BUCKET}/{folder.parent.name}",
            "endpoint": address,
            "access_key_file": folder / "access",
            "secret_key_file": folder / "secret",
            **blobs,
        },
    )


@pytest.fixture
def two_machines(a_server: str, tmp_path: Path) -> tuple[BlobStore, BlobStore]:
    here, there = (settings(tmp_path / name, a_server) for name in ("here", "there"))
    return open_blobs(here, "receive"), open_blobs(there, "work")


def test_what_one_machine_keeps_another_reads(two_machines: tuple[BlobStore, BlobStore]) -> None:
    here, there = two_machines
    blob = here.put(b"an image")
    assert not list(there.root.glob("??/*"))
    with there.open(blob.sha256) as file:
        assert file.read() == b"an image"
    assert there.path(blob.sha256).read_bytes() == b"an image"
    assert there.verify(blob.sha256)


def test_kept_bytes_are_in_the_object_store_before_keep_returns(
    two_machines: tuple[BlobStore, BlobStore],
) -> None:
    here, there = two_machines
    with here.writer() as file:
        file.write(b"arrived")
        file.flush()
        spooled = Path(file.name)
        blob = here.harden(spooled)
        assert there.verify(blob.sha256)
        here.move(spooled, blob.sha256)
    assert here._place(blob.sha256).read_bytes() == b"arrived"


def test_a_blob_that_is_nowhere_is_told(two_machines: tuple[BlobStore, BlobStore]) -> None:
    here, _ = two_machines
    with pytest.raises(BlobError, match="not in the store"):
        here.open("0" * 64)
    assert not here.verify("0" * 64)
    here.delete("0" * 64)


def test_a_deleted_blob_is_gone_everywhere_but_in_other_caches(
    two_machines: tuple[BlobStore, BlobStore],
) -> None:
    here, there = two_machines
    blob = here.put(b"to be deleted")
    there.delete(blob.sha256)
    assert not here.verify(blob.sha256)
    assert not there.path(blob.sha256).exists()


def test_only_what_nobody_keeps_any_more_expires(
    two_machines: tuple[BlobStore, BlobStore],
) -> None:
    here, there = two_machines
    blob = here.put(b"old")
    before, after = utc_now() - timedelta(hours=1), utc_now() + timedelta(hours=1)
    assert list(there.older_than(before)) == []
    assert blob.sha256 in set(there.older_than(after))
    assert not there.expire(blob.sha256, before)
    assert there.expire(blob.sha256, after)
    assert not there.verify(blob.sha256)
    assert here.expire(blob.sha256, before), "what is gone is gone"
    assert not here._place(blob.sha256).exists()


def test_the_cache_keeps_within_its_bound_and_reads_again_what_it_dropped(
    a_server: str, tmp_path: Path
) -> None:
    store = open_blobs(settings(tmp_path / "small", a_server, cache_mib=1))
    blobs = [store.put(bytes([number]) * 300_000) for number in range(3)]
    long_ago = time.time() - 3600
    for blob in blobs:
        os.utime(store._place(blob.sha256), (long_ago, long_ago))
    store.put(b"x" * 600_000)
    there = [blob for blob in blobs if store._place(blob.sha256).exists()]
    assert len(there) == 1
    for blob in blobs:
        assert store.path(blob.sha256).stat().st_size == 300_000


def test_an_object_store_that_is_down_is_an_error_and_no_acknowledgement(tmp_path: Path) -> None:
    down = settings(tmp_path / "down", "http://127.0.0.1:9", timeout_s=0.2)
    store = open_blobs(down)
    with pytest.raises(BlobError, match="did not store"):
        store.put(b"lost")


def test_an_object_that_was_replaced_is_not_taken_for_the_blob(
    two_machines: tuple[BlobStore, BlobStore],
) -> None:
    here, there = two_machines
    blob = here.put(b"true")
    here._remote.pipe_file(here._key(blob.sha256), b"false")
    with pytest.raises(BlobError, match="other bytes"):
        there.path(blob.sha256)
    assert not there.verify(blob.sha256)


def test_a_shared_folder_is_one_store(tmp_path: Path) -> None:
    shared = {"url": f"file://{tmp_path / 'share'}"}
    here = open_blobs(Settings(node={"data_dir": tmp_path / "a"}, blobs=shared), "one")
    there = open_blobs(Settings(node={"data_dir": tmp_path / "b"}, blobs=shared), "two")
    assert there.path(here.put(b"bytes").sha256).read_bytes() == b"bytes"


@pytest.mark.parametrize("url", ["s3://", "ftp://host/x", "bucket"])
def test_only_places_that_are_known_are_configured(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"blobs\.url"):
        Settings(node={"data_dir": tmp_path}, blobs={"url": url})


def test_a_key_file_that_is_missing_is_told(a_server: str, tmp_path: Path) -> None:
    wanted = settings(tmp_path / "k", a_server, access_key_file=tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_blobs(wanted)
