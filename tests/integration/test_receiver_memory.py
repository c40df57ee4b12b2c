"""The receiver's memory does not grow with what it receives: eight clips of 60 MB at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.bench.harness import a_node
from node.bench.images import CLIP
from node.bench.sender import Burst
from node.bench.watching import Watch

ASSOCIATIONS = 8
LIMIT_MIB = 300
NOISE_MIB = 10


@pytest.mark.bench  # it writes a gigabyte
def test_eight_clips_of_60_mb_at_once_leave_the_receivers_memory_flat(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", [], role="receive") as node:
        peaks = []
        for run in (1, 2):
            burst = Burst(
                ("127.0.0.1", node.dicom_port), "CRDL", CLIP, ASSOCIATIONS, ASSOCIATIONS, run
            )
            with Watch(node.process.pid) as watch:
                burst.send()
            peaks.append(watch)
    first, second = peaks
    assert second.largest_mib < LIMIT_MIB
    assert second.largest_mib < first.largest_mib + NOISE_MIB
