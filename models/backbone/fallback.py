"""What to do when the accelerator fails: fewer cases at once, then the CPU, and always say so."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

import torch

from models.backbone.device import CPU, DeviceChoice

Answer = TypeVar("Answer")

# how allocation failures and broken drivers, libraries or cards appear in a plain RuntimeError
_MEMORY_WORDS = re.compile(r"out of memory|alloc_failed", re.IGNORECASE)
_DRIVER_WORDS = re.compile(r"\b(?:cuda|cudnn|cublas|nvidia|nvrtc)", re.IGNORECASE)


class Failure(Enum):
    """How an accelerator failed."""

    OUT_OF_MEMORY = "out of memory"
    DRIVER = "driver failure"


@dataclass(frozen=True, slots=True)
class NextTry:
    """What to do after a failure.

    Attributes:
        device: where to run the batch again.
        chunk: how many cases at once.
        for_good: True where the failed device must not be used again by this process.
        reason: what the result says about it.
    """

    device: str
    chunk: int
    for_good: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Ran(Generic[Answer]):
    """An answer and where it came from.

    Attributes:
        answer: what the computation gave.
        choice: the device that gave it, and why it is not the one asked for.
        for_good: True where the device asked for must not be used again by this process.
    """

    answer: Answer
    choice: DeviceChoice
    for_good: bool = False


def classify(error: BaseException) -> Failure | None:
    """The accelerator's failure behind an exception, or None where it is some other fault."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return Failure.OUT_OF_MEMORY
    if not isinstance(error, RuntimeError) or not _DRIVER_WORDS.search(str(error)):
        return None
    return Failure.OUT_OF_MEMORY if _MEMORY_WORDS.search(str(error)) else Failure.DRIVER


def after_failure(failure: Failure, device: str, chunk: int) -> NextTry:
    """What to do next.

    Out of memory is a neighbour's or a batch's fault and passes: fewer cases at once, and the CPU
    when one alone is too many, for this batch only. After a driver failure the CUDA context of a
    process is lost for good (CUDA runtime API, "sticky" errors), so the CPU serves from then on.

    Args:
        failure: what happened.
        device: where it happened.
        chunk: how many cases were run at once.
    """
    reason = f"{device}: {failure.value}"
    if failure is Failure.DRIVER:
        return NextTry(CPU, 1, for_good=True, reason=reason)
    if chunk > 1:
        half = chunk // 2
        return NextTry(device, half, for_good=False, reason=f"{reason}, {half} cases at once")
    return NextTry(CPU, 1, for_good=False, reason=reason)


def run_with_fallback(
    run: Callable[[str, int], Answer], choice: DeviceChoice, chunk: int
) -> Ran[Answer]:
    """Run on the chosen device; on its failure run the whole batch again, last on the CPU.

    The whole batch, so that one result comes from one device.

    Args:
        run: computes the answer on a device, so many cases at once.
        choice: where to begin.
        chunk: cases at once to begin with.

    Raises:
        RuntimeError: whatever `run` raised that is no accelerator's failure.
    """
    device, reason, for_good = choice.device, choice.reason, False
    while True:
        try:
            return Ran(run(device, chunk), DeviceChoice(device, reason), for_good)
        except RuntimeError as error:
            failure = None if device == CPU else classify(error)
            if failure is None:
                raise
        following = after_failure(failure, device, chunk)
        device, chunk, reason = following.device, following.chunk, following.reason
        for_good = for_good or following.for_good
