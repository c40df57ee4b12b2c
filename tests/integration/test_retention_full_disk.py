"""Deleting needs room: on a disk without a byte left the reserve makes it."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from node.audit.trail import Trail
from node.database import utc_now
from node.jobs.retention import Keeper, Terms
from node.receive.parser import HeaderParser
from node.service.keeping import Reserve, clean
from tests.receive_fixtures import Desk, a_desk_in, an_ultrasound

_CHUNK = 1 << 16


@pytest.fixture
def a_small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(options, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left, to the last byte."""
    path = disk / "somebody elses"
    with path.open("wb", buffering=0) as file:
        size = _CHUNK
        while size:
            try:
                size = size if file.write(bytes(size)) == size else size // 2
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 - the loop goes on
                size //= 2
    return path


def a_full_node(disk: Path, parser: HeaderParser, reserve: Reserve) -> tuple[Desk, Path]:
    desk = a_desk_in(disk, parser)
    desk.accept(an_ultrasound())
    for path in desk.blobs.root.glob("??/*"):
        os.utime(path, (0, 0))
    assert reserve.take()
    desk.engine.dispose()  # its log is gone with the last connection: a new one needs room
    return desk, fill(disk)


def test_the_node_deletes_on_a_full_disk_and_recovers_by_itself(
    a_small_disk: Path, a_parser: HeaderParser
) -> None:
    reserve = Reserve(a_small_disk / "reserve", 8 << 20)
    desk, filler = a_full_node(a_small_disk, a_parser, reserve)
    house = Keeper(desk.engine, Trail("deliver"), desk.blobs, Terms(14, 90))
    later = utc_now() + timedelta(days=20)
    with pytest.raises(SQLAlchemyError):
        house.expire(later)

    clean(house, reserve, later)
    assert desk.standings() == ["expired"]
    assert list(desk.blobs.root.glob("??/*")) == []

    filler.unlink()
    assert clean(house, reserve, later)
    assert reserve.held
    assert desk.accept(an_ultrasound()).standing == "current"
