"""The audit's chain in a running node, and where its signed end is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from node.audit.chain import start_chainer
from node.audit.verify import signed_head
from node.service.compose import Foundation

_HEAD_S = 60.0


def keep_chain(foundation: Foundation) -> Callable[[], None]:
    """Chain in the background and write the signed end where `[audit] heads` says."""
    written = [-_HEAD_S]

    def write_head() -> None:
        path = foundation.settings.audit.heads
        if path is None or time.monotonic() - written[0] < _HEAD_S:
            return
        head = signed_head(foundation.database, foundation.sealer)
        if head is not None:
            append_line(path, head.to_line())
            written[0] = time.monotonic()

    return start_chainer(foundation.database, foundation.sealer, write_head)


def append_line(path: Path, line: str) -> None:
    """Append a line that is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
