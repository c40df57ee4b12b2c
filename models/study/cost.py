"""How long each stage of a study took: kept apart from what must be the same in every run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.study.results import Table
from models.study.run_words import worded_table


class Cost:
    """Adds up wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def table(self) -> Table:
        """Return the stages so far as a table."""
        rows = [(name, f"{seconds:.1f}") for name, seconds in self.seconds.items()]
        return worded_table("cost", [*rows, ("total", f"{sum(self.seconds.values()):.1f}")])

    def to_json(self) -> str:
        """Return the stages and their sum as JSON."""
        rounded = {name: round(seconds, 3) for name, seconds in self.seconds.items()}
        whole = {"seconds": rounded, "total": round(sum(self.seconds.values()), 3)}
        return json.dumps(whole, indent=2) + "\n"
