"""Crops of several cases run as one batch: threads that assess at once share the accelerator."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.backbone.result import DeepResult
from models.backbone.runner import CASES_AT_ONCE, DeepRunner


@dataclass
class _Waiting:
    """One caller's crops, and later its answer."""

    batch: NDArray[np.float32]
    done: threading.Event = field(default_factory=threading.Event)
    answer: DeepResult | None = None
    error: Exception | None = None


class MicroBatcher:
    """A runner for several threads: what arrives within a moment of each other runs together.

    The runner gives the same bits for a crop whatever else is in its batch, so a case does not
    depend on its neighbours. Nor does its deadline: where a batch takes too long each caller's
    crops run alone, and only the slow one fails.

    Args:
        runner: A warm runner; nobody else may use it.
        wait_s: How long the first of a batch waits for others; 0 waits for nobody.
        most: Crops in a batch.
    """

    def __init__(
        self, runner: DeepRunner, wait_s: float = 0.005, most: int = CASES_AT_ONCE
    ) -> None:
        self._runner = runner
        self._wait_s = wait_s
        self._most = most
        self._queue: deque[_Waiting] = deque()
        self._arrived = threading.Condition()
        self._running = threading.Lock()
        self.batches = 0

    @property
    def device(self) -> str:
        """Where it runs now."""
        return self._runner.device

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return self._runner.sha256

    def warm_up(self) -> DeepResult:
        """Run once on zeros."""
        with self._running:
            return self._runner.warm_up()

    def features(self, batch: NDArray[np.float32]) -> DeepResult:
        """Features of some crops, run with those of other threads; see `DeepRunner.features`.

        Raises:
            DeepInputError: The batch has another shape or type, or a value that is not finite.
            DeadlineExceededError: It took longer than its cases may, alone.
        """
        mine = _Waiting(batch)
        with self._arrived:
            self._queue.append(mine)
            self._arrived.notify_all()
        # Whoever gets the runner serves everybody that waits then, itself among them or not.
        while not mine.done.is_set():
            with self._running:
                if not mine.done.is_set():
                    self._serve(self._gather())
        if mine.error is not None:
            raise mine.error
        if mine.answer is None:
            raise RuntimeError("a batch ended without an answer")
        return mine.answer

    def _gather(self) -> list[_Waiting]:
        """Take what waits, of one shape, after a moment for others to join."""
        end = time.monotonic() + self._wait_s
        with self._arrived:
            while self._waiting() < self._most and (left := end - time.monotonic()) > 0:
                self._arrived.wait(left)
            first = self._queue[0]
            taken: list[_Waiting] = []
            kept: deque[_Waiting] = deque()
            crops = 0
            for one in self._queue:
                fits = one.batch.shape[1:] == first.batch.shape[1:]
                if not taken or (fits and crops + len(one.batch) <= self._most):
                    taken.append(one)
                    crops += len(one.batch)
                else:
                    kept.append(one)
            self._queue = kept
            return taken

    def _waiting(self) -> int:
        return sum(len(one.batch) for one in self._queue)

    def _serve(self, taken: list[_Waiting]) -> None:
        self.batches += 1
        try:
            ran = self._runner.features(np.concatenate([one.batch for one in taken]))
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, each alone
            if len(taken) == 1:
                taken[0].error = error
                taken[0].done.set()
                return
            # One caller's crops, or one slow case, must not fail the others.
            for one in taken:
                self._serve([one])
            return
        start = 0
        for one in taken:
            rows = ran.features[start : start + len(one.batch)]
            one.answer = DeepResult(rows, ran.device, ran.fallback_reason)
            start += len(one.batch)
            one.done.set()
