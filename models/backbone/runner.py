"""The warm model of a worker: crops in, features out, from whichever device can."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.backbone.architecture import Architecture
from models.backbone.deadline import Deadline
from models.backbone.device import (
    CPU,
    DeviceChoice,
    choose_device,
    count_cuda_devices,
    make_visible,
)
from models.backbone.errors import DeepInputError
from models.backbone.fallback import run_with_fallback
from models.backbone.resnet3d import ResNet18
from models.backbone.result import DeepResult
from models.backbone.weights import Weights, load_weights, serving_network

CASES_AT_ONCE = 16
CASE_DEADLINE_S = 30.0
WARM_SLICE = (1, 1, 96, 96)
WARM_VOLUME = (1, 1, 16, 96, 96)


class DeepRunner:
    """Runs one backbone for one process; not for several threads at once.

    The same crop gives the same bits whatever else is in its batch: on the CPU cases run one at a
    time with a fixed number of threads, on CUDA in chunks padded to one fixed size (libraries
    choose their algorithm by shape), with autotuning and TF32 off.

    Args:
        weights: what to run.
        device: "auto", "cpu", "cuda", "cuda:N" or the UUID of a GPU or MIG part.
        threads: CPU threads of torch while it runs; a worker has one per process.
        case_deadline_s: seconds a batch may take for each of its cases.

    Raises:
        DeviceNameError: the device is none of these.
        DeepInputError: threads or deadline are not positive.
    """

    def __init__(
        self,
        weights: Weights,
        device: str = "auto",
        threads: int = 1,
        case_deadline_s: float = CASE_DEADLINE_S,
    ) -> None:
        if threads < 1 or not case_deadline_s > 0:
            raise DeepInputError("threads and deadline of a runner must be positive")
        self.architecture = weights.architecture
        self.sha256 = weights.sha256
        self.threads = threads
        self.case_deadline_s = case_deadline_s
        wanted = make_visible(device)
        self._choice = choose_device(wanted, 0 if wanted == CPU else count_cuda_devices())
        self._weights = weights
        self._networks: dict[str, ResNet18] = {}

    @classmethod
    def from_file(
        cls,
        path: Path,
        device: str = "auto",
        threads: int = 1,
        case_deadline_s: float = CASE_DEADLINE_S,
        sha256: str | None = None,
    ) -> Self:
        """A warm runner of a weights file.

        Args:
            path: a file of `models.backbone.weights.save_weights`.
            device: "auto", "cpu", "cuda", "cuda:N" or the UUID of a GPU or MIG part.
            threads: CPU threads of torch while it runs.
            case_deadline_s: seconds a batch may take for each of its cases.
            sha256: the pinned hash; None where the caller has checked the file already.

        Raises:
            WeightsError: the file is unreadable, not the pinned one or incomplete.
            DeviceNameError: the device is none of these.
        """
        runner = cls(load_weights(path, sha256), device, threads, case_deadline_s)
        runner.warm_up()
        return runner

    @property
    def device(self) -> str:
        """Where it runs now: the chosen device, or the CPU after a lasting failure."""
        return self._choice.device

    def warm_up(self) -> DeepResult:
        """Run once on zeros, so that the first case does not pay for loading kernels."""
        shape = WARM_VOLUME if self.architecture.volume else WARM_SLICE
        return self.features(np.zeros(shape, np.float32))

    def features(self, batch: NDArray[np.float32]) -> DeepResult:
        """Features of a batch of cases.

        Args:
            batch: `(N, 1, S, S)` float32 crops, or `(N, 1, D, S, S)` for a model of volumes.

        Returns:
            `(N, F)` float32 features, the device that ran and why it is not the one asked for.

        Raises:
            DeepInputError: the batch has another shape or type, or a value that is not finite.
            DeadlineExceededError: the batch took longer than its cases may.
        """
        self._check(batch)
        deadline = Deadline.of(len(batch), self.case_deadline_s)

        def run(device: str, chunk: int) -> NDArray[np.float32]:
            return self._run(batch, device, chunk, deadline)

        ran = run_with_fallback(run, self._choice, self._chunk(self._choice.device))
        if ran.for_good:
            self._choice = DeviceChoice(CPU, ran.choice.reason)
        return DeepResult(ran.answer, ran.choice.device, ran.choice.reason)

    def _check(self, batch: NDArray[np.float32]) -> None:
        axes = 5 if self.architecture.volume else 4
        if batch.ndim != axes or batch.shape[1] != 1 or batch.dtype != np.float32 or not batch.size:
            raise DeepInputError(
                f"a batch is float32 with {axes} axes and one channel, not {batch.dtype} "
                f"{batch.shape}"
            )
        if not np.isfinite(batch).all():
            raise DeepInputError("a crop holds a value that is not a finite number")

    def _chunk(self, device: str) -> int:
        """Cases at once: one on the CPU (no gain from more) and for volumes (memory)."""
        return 1 if device == CPU or self.architecture.volume else CASES_AT_ONCE

    def _network(self, device: str) -> ResNet18:
        if device not in self._networks:
            self._networks[device] = _placed(self._weights, device)
        return self._networks[device]

    def _run(
        self, batch: NDArray[np.float32], device: str, chunk: int, deadline: Deadline
    ) -> NDArray[np.float32]:
        network = self._network(device)
        rows = []
        with reproducible(self.threads), torch.inference_mode():
            for start in range(0, len(batch), chunk):
                cases = batch[start : start + chunk]
                x = _sent(_padded(cases, chunk), device, _dtype(self.architecture))
                for stage in network.stages():
                    x = stage(x)
                    deadline.check()
                rows.append(x.float().cpu().numpy()[: len(cases)])
                deadline.check()  # CUDA works behind our back until the copy above waits for it
        return np.concatenate(rows)


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Fixed threads, no autotuning, no TF32: the same numbers in every process on one device."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.set_num_threads(before)


def _placed(weights: Weights, device: str) -> ResNet18:
    """The serving network on its device, in its precision, with channels innermost in memory."""
    network = serving_network(weights).to(device=device, dtype=_dtype(weights.architecture))
    for parameter in network.parameters():
        parameter.data = _channels_innermost(parameter.data)
    return network


def _dtype(architecture: Architecture) -> torch.dtype:
    return torch.bfloat16 if architecture.precision == "bf16" else torch.float32


def _channels_innermost(tensor: Tensor) -> Tensor:
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    layout = layouts.get(tensor.ndim, torch.contiguous_format)
    return tensor.contiguous(memory_format=layout)


def _padded(cases: NDArray[np.float32], chunk: int) -> NDArray[np.float32]:
    """The cases followed by empty ones, so that every chunk has one shape."""
    missing = chunk - len(cases)
    if not missing:
        return cases
    return np.concatenate([cases, np.zeros((missing, *cases.shape[1:]), np.float32)])


def _sent(cases: NDArray[np.float32], device: str, dtype: torch.dtype) -> Tensor:
    """The cases on the device, through pinned memory where that is another one."""
    x = torch.from_numpy(cases.copy())  # torch takes no negative strides
    if device != CPU:
        x = x.pin_memory().to(device, non_blocking=True)
    return _channels_innermost(x.to(dtype))
