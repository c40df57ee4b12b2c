"""Speed against pyradiomics and its rivals: `python -m models.features.radiomics.benchmark`.

Every contender measures the same lesion in turn, round after round, so that a busy moment of the
machine falls on all of them; the medians stand in the table. Rivals are driven by `rival.py`
through the first interpreter named by `--rivals` that has them: pictologics needs Python 3.12 or
later, so it cannot share ours. Who has none drops out, and standard error says why.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError
from models.features.radiomics import rival
from models.features.radiomics.batch import Item
from models.features.radiomics.extract import extract, images_of
from models.features.radiomics.oracle import pyradiomics_features
from models.features.radiomics.region import Region
from models.features.radiomics.rival_environments import rival_interpreters
from models.features.radiomics.settings import RadiomicsSettings

SIZES = (2_000, 10_000, 70_000)
FULL = RadiomicsSettings(feature_set="full851")
SPACING_MM = (0.2, 0.2)
OURS = "ours, 1 thread"
ORACLE = "pyradiomics"


@dataclass(frozen=True, slots=True)
class Run:
    """One timed extraction."""

    seconds: float
    cpu_seconds: float
    features: dict[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        pixels: pixels of the lesion.
        contender: who measured it.
        seconds: median wall time.
        cpu_seconds: median processor time of all threads.
        times_ours: `seconds` over those of the fused extractor on one thread.
        features: how many values it gave.
        equal: how many of the 851 equal pyradiomics to a relative 1e-6.
    """

    pixels: int
    contender: str
    seconds: float
    cpu_seconds: float
    times_ours: float
    features: int
    equal: int


Contender = Callable[[], Run]


def a_speckled_lesion(pixels: int, seed: int = 0) -> Item:
    """A round, lobed lesion of 8-bit speckle with about so many pixels."""
    rng = np.random.default_rng(seed)
    radius = math.sqrt(pixels / math.pi)
    side = int(2.4 * radius) + 8
    y, x = np.indices((side, side)) - side / 2
    mask = np.hypot(y, x) < radius * (1 + 0.1 * np.sin(5 * np.arctan2(y, x)))
    speckle: NDArray[np.float64] = rng.rayleigh(1.0, (side, side))
    for axis in (0, 1):
        speckle = speckle + np.roll(speckle, 1, axis) + np.roll(speckle, -1, axis)
    return np.clip(speckle * 6, 0, 255).astype(np.uint8), mask, SPACING_MM


def _timed(measure: Callable[[], dict[str, float]]) -> Run:
    wall, cpu = time.perf_counter(), time.process_time()
    features = measure()
    return Run(time.perf_counter() - wall, time.process_time() - cpu, features)


def _here(item: Item) -> dict[str, Contender]:
    image, mask, spacing = item
    patched = RadiomicsSettings(feature_set="full851", engine="pyradiomics")
    oracle = partial(pyradiomics_features, image.astype(np.float64), mask, spacing, FULL)
    return {
        OURS: partial(_timed, partial(extract, *item, FULL)),
        "ours, 2 threads": partial(_timed, partial(extract, *item, FULL, threads=2)),
        "pyradiomics, diameter patched": partial(_timed, partial(extract, *item, patched)),
        ORACLE: partial(_timed, oracle),
    }


class RivalError(ModelsError):
    """A rival gives no answer: it is not installed, or has failed."""


def _answer(process: "subprocess.Popen[str]", complaints: IO[str]) -> str:
    """The next line of the rival that is its answer.

    Raises:
        RivalError: it has ended; the message is its last word on standard error.
    """
    assert process.stdout is not None  # noqa: S101  opened as a pipe below
    for line in process.stdout:
        if line.startswith("@"):
            return line[1:]
    status = process.wait()
    complaints.seek(0)
    last = [line.strip() for line in complaints if line.strip()][-1:]
    raise RivalError(last[0] if last else f"it ended with status {status} and said nothing")


@contextmanager
def _rival(python: str, name: str, case: Path) -> Iterator[Contender]:
    """A rival in its own process, warm.

    Raises:
        RivalError: it could not be started, or its warm-up failed.
    """
    command = [python, rival.__file__, name, str(case)]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(  # noqa: S603  the interpreter the caller named
            command, stdin=pipe, stdout=pipe, stderr=complaints, text=True
        ) as process,
    ):
        stdin = process.stdin
        assert stdin is not None  # noqa: S101  opened as a pipe above

        def run() -> Run:
            with suppress(BrokenPipeError):  # _answer says why
                stdin.write("go\n")
                stdin.flush()
            return Run(**json.loads(_answer(process, complaints)))

        try:
            _answer(process, complaints)
            yield run
        finally:
            process.terminate()


def _dropped_out(name: str, why: str) -> None:
    sys.stderr.write(f"{name} dropped out: {why}\n")


def _enter(stack: ExitStack, pythons: Sequence[str], name: str, case: Path) -> Contender | None:
    """A rival in the first interpreter that runs it, until the stack closes."""
    reasons: list[str] = []
    for python in pythons:
        try:
            return stack.enter_context(_rival(python, name, case))
        except RivalError as error:
            reasons.append(str(error))
    _dropped_out(name, "; ".join(reasons))
    return None


def equal_features(found: dict[str, float], oracle: dict[str, float]) -> int:
    """How many of the oracle's values were found, whatever the spelling of their names."""
    by_name = {_plain(name): value for name, value in found.items()}
    absent = math.inf
    return sum(
        math.isclose(by_name.get(_plain(name), absent), value, rel_tol=1e-6)
        for name, value in oracle.items()
    )


def _plain(name: str) -> str:
    """JointEnergy, joint_energy and :joint_energy alike; 10th_percentile is 10Percentile."""
    return name.lower().replace("0th", "0").translate(str.maketrans("", "", "_:"))


def bench_one(pixels: int, rounds: int, rivals_pythons: Sequence[str]) -> list[Row]:
    """Time every contender on one lesion.

    Args:
        pixels: about how many pixels the lesion has.
        rounds: how often each contender runs; the median counts.
        rivals_pythons: interpreters of environments that hold the rivals; none for no rivals.

    Returns:
        One row for each contender that ran; standard error says which rival did not, and why.
    """
    item = a_speckled_lesion(pixels)
    contenders = _here(item)
    contenders[OURS]()  # kernels are compiled at installation, not on the clock
    with ExitStack() as stack:
        if rivals_pythons:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            region = Region.of(*item)
            images = images_of(region, FULL)
            case = Path(folder) / "case.npz"
            np.savez(
                case,
                mask=region.mask,
                names=list(images),
                images=np.stack(list(images.values())),
                spacing=region.spacing_3d,
                bin_width=FULL.bin_width,
            )
            for name in rival.RIVALS:
                contender = _enter(stack, rivals_pythons, name, case)
                if contender is not None:
                    contenders[name] = contender
        runs: dict[str, list[Run]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name in tuple(runs):
                try:
                    runs[name].append(contenders[name]())
                except RivalError as error:
                    _dropped_out(name, str(error))
                    del runs[name]
    oracle = runs[ORACLE][0].features
    ours = statistics.median(run.seconds for run in runs[OURS])
    rows = []
    for name, timed in runs.items():
        seconds = statistics.median(run.seconds for run in timed)
        cpu = statistics.median(run.cpu_seconds for run in timed)
        found = timed[0].features
        equal = equal_features(found, oracle)
        n = int(item[1].sum())
        rows.append(Row(n, name, seconds, cpu, seconds / ours, len(found), equal))
    return rows


HEAD = (
    "| pixels | contender | seconds | CPU seconds | times ours | features | equal |\n"
    "|---:|---|---:|---:|---:|---:|---:|\n"
)


def table_line(row: Row) -> str:
    """One row as a line of the Markdown table under `HEAD`."""
    return (
        f"| {row.pixels} | {row.contender} | {row.seconds:.4f} | {row.cpu_seconds:.4f} "
        f"| {row.times_ours:.1f} | {row.features} | {row.equal} |\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print its table as it grows, or JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pixels", type=int, nargs="+", default=list(SIZES))
    parser.add_argument(
        "--rivals", metavar="PYTHON", nargs="+", default=[], help="interpreters that have them"
    )
    parser.add_argument(
        "--install-rivals", metavar="FOLDER", type=Path, help="make their environments there"
    )
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    rivals = list(asked.rivals)
    if asked.install_rivals is not None:
        rivals += rival_interpreters(asked.install_rivals)
    rows: list[Row] = []
    for pixels in asked.pixels:
        found = bench_one(pixels, asked.rounds, rivals)
        if not asked.json:
            sys.stdout.write("".join(([] if rows else [HEAD]) + [table_line(r) for r in found]))
            sys.stdout.flush()
        rows += found
    if asked.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
