"""An executor of another version: `python -m tests.version_worker URL ID VERSION DIARY`.

It runs the tasks of the delivery queue by writing their names down.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from node.database import open_engine
from node.jobs.dbos_engine import DbosEngine


def main(url: str, executor_id: str, version: str, diary: Path) -> None:
    engine = DbosEngine(open_engine(url), executor_id)
    engine.version = version

    def note(name: str) -> None:
        with diary.open("a") as file:
            file.write(f"{version} {name}\n")

    engine.start({"delivery": note}, {"delivery": 1})
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
