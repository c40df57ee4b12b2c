"""The 2D twin against the 3D network it equals: difference, time and ratio.

Run with `python -m models.backbone.benchmark [--json] [--size 96] [--rounds 15] [--threads 1]`.
Both are timed in turn on the same crop and the medians compared. Goal: at least 4 times as fast.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from models.backbone.architecture import MEDICALNET, SLIM, STRIDED, Architecture
from models.backbone.resnet3d import ResNet18
from models.backbone.runner import DeepRunner, reproducible
from models.backbone.weights import Weights, load_into, weights_of

FORMS = (MEDICALNET, STRIDED, SLIM)
SEED = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One form's figures.

    Attributes:
        form: name of the architecture.
        size: rows and columns of the crop.
        threads: CPU threads.
        volume_ms: median of the 3D network on the crop as one slice, in milliseconds.
        volume_cpu_ms: its median CPU time, which other programs on the machine disturb less.
        runner_ms: median of the served 2D twin, from numpy to numpy.
        runner_cpu_ms: its median CPU time.
        ratio: `volume_ms / runner_ms`.
        cpu_ratio: `volume_cpu_ms / runner_cpu_ms`.
        difference: largest absolute difference of a feature.
        largest: largest absolute feature, to judge the difference by.
    """

    form: str
    size: int
    threads: int
    volume_ms: float
    volume_cpu_ms: float
    runner_ms: float
    runner_cpu_ms: float
    ratio: float
    cpu_ratio: float
    difference: float
    largest: float


def compare(form: Architecture, size: int, rounds: int, threads: int) -> Row:
    """Time one form in both ways, in turn, with seeded weights."""
    volume = ResNet18(form, 3)
    volume.initialise(SEED)
    weights: Weights = weights_of(volume)
    load_into(volume, weights)  # rounded as the served ones are
    volume.eval()
    runner = DeepRunner(weights, "cpu", threads)
    crop = np.random.default_rng(SEED).standard_normal((1, 1, size, size)).astype(np.float32)
    as_volume = torch.from_numpy(crop)[:, :, None]

    def in_3d() -> torch.Tensor:
        with reproducible(threads), torch.inference_mode():
            return volume(as_volume)  # type: ignore[no-any-return]

    expected, found = in_3d().numpy(), runner.features(crop).features
    times = [
        (*_timed(in_3d), *_timed(lambda: runner.features(crop)))  # in turn: one weather for both
        for _ in range(rounds)
    ]
    volume_ms, volume_cpu_ms, runner_ms, runner_cpu_ms = (
        statistics.median(column) for column in zip(*times, strict=True)
    )
    return Row(
        form=form.name,
        size=size,
        threads=threads,
        volume_ms=round(volume_ms, 2),
        volume_cpu_ms=round(volume_cpu_ms, 2),
        runner_ms=round(runner_ms, 2),
        runner_cpu_ms=round(runner_cpu_ms, 2),
        ratio=round(volume_ms / runner_ms, 2),
        cpu_ratio=round(volume_cpu_ms / runner_cpu_ms, 2),
        difference=float(np.abs(found - expected).max()),
        largest=float(np.abs(expected).max()),
    )


def run_benchmark(size: int = 96, rounds: int = 15, threads: int = 1) -> tuple[Row, ...]:
    """All forms."""
    return tuple(compare(form, size, rounds, threads) for form in FORMS)


def table(rows: Sequence[Row]) -> str:
    """The rows as text for a terminal."""
    lines = [
        "                           milliseconds          CPU milliseconds",
        "form                    3D     2D  ratio        3D     2D  ratio   difference  (of)",
    ]
    lines += [
        f"{row.form:<19} {row.volume_ms:>6.1f} {row.runner_ms:>6.1f} {row.ratio:>6.1f}    "
        f"{row.volume_cpu_ms:>6.1f} {row.runner_cpu_ms:>6.1f} {row.cpu_ratio:>6.1f}      "
        f"{row.difference:.1e}  {row.largest:.2f}"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] = ()) -> None:
    """The command line; without arguments the defaults, so that `crdl bench` can call it."""
    parser = argparse.ArgumentParser(description="time the 2D twin against the 3D network")
    parser.add_argument("--size", type=int, default=96, help="rows and columns of the crop")
    parser.add_argument("--rounds", type=int, default=15, help="timings per form")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    rows = run_benchmark(options.size, options.rounds, options.threads)
    print(json.dumps([asdict(row) for row in rows]) if options.json else table(rows))  # noqa: T201  a command prints


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU milliseconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


if __name__ == "__main__":
    main(sys.argv[1:])
