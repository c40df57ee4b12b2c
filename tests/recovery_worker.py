"""An executor to be killed and frozen: `python -m tests.recovery_worker URL FOLDER ID TTL_S`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from node.database import open_engine
from node.jobs.recovery import start_sweeper
from node.jobs.stages import Assessment, AssessmentRequest, Parcel, Receipt
from tests.jobs_fixtures import Rooms, a_node

ASSESS_S = 0.2


class SlowRooms(Rooms):
    """Rooms that take their time and write down what they did, for the test to count."""

    def __init__(self, diary: Path) -> None:
        super().__init__()
        self._diary = diary

    def assess(self, request: AssessmentRequest) -> Assessment:
        self._write(f"begin {request.seg_uid}")
        time.sleep(ASSESS_S)
        made = super().assess(request)
        self._write(f"end {request.seg_uid}")
        return made

    def deliver(self, destination: str, parcels: Sequence[Parcel]) -> list[Receipt]:
        for parcel in parcels:
            self._write(f"sent {parcel.sop_instance_uid}")
        return super().deliver(destination, tuple(parcels))

    def _write(self, line: str) -> None:
        with self._diary.open("a") as file:
            file.write(f"{os.getpid()} {line}\n")


def main(url: str, folder: Path, executor_id: str, ttl_s: float) -> None:
    start_sweeper(open_engine(url), executor_id, "work", ttl_s)
    with a_node(url, folder, executor_id, "pacs") as node:
        node.rooms = SlowRooms(folder / "diary")
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
