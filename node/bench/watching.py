"""What a process tree costs while it works: memory, CPU, open files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import psutil

_INTERVAL_S = 0.05
MIB = 1 << 20


def tree(process_id: int) -> list[psutil.Process]:
    """Return a process and its descendants; none if it is gone."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process_id)
        return [root, *root.children(recursive=True)]
    return []


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return user and system time of the processes and of their children that have ended."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass
class Watch:
    """Looks at a process tree while something runs.

    Attributes:
        largest_mib: The most that any one of its processes held at once (RSS).
        total_mib: The most that all held together; shared pages count for each.
        cpu_s: CPU seconds spent meanwhile.
    """

    process_id: int
    largest_mib: float = 0.0
    total_mib: float = 0.0
    cpu_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _cpu_before: float = 0.0

    def __enter__(self) -> Self:
        self._cpu_before = cpu_seconds(tree(self.process_id))
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._look()
        self.cpu_s = cpu_seconds(tree(self.process_id)) - self._cpu_before

    def _look_on(self) -> None:
        while not self._stop.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        sizes = []
        for process in tree(self.process_id):
            with suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_info().rss / MIB)
        self.largest_mib = max([self.largest_mib, *sizes])
        self.total_mib = max(self.total_mib, sum(sizes))


def wait_until(condition: Callable[[], object], seconds: float, poll_s: float = 0.02) -> bool:
    """Wait until something holds; tell whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True
