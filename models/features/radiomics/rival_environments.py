"""An environment of its own for each rival of the benchmark, made once and kept."""

import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

from models.errors import ModelsError
from models.features.radiomics.rival import RIVALS

_NEEDED_BY_PICTOLOGICS = (
    *("numba", "scipy", "nibabel", "pydicom", "pandas", "PyWavelets", "pyyaml", "pyarrow"),
    *("scikit-image", "tqdm"),
)
# torch first and pinned, as in our own set-up: an open range takes gigabytes of CUDA packages
_BEFORE = {"fastrad": ("torch==2.13.0",), "pictologics": _NEEDED_BY_PICTOLOGICS}
# asks for Python 3.12 and runs on 3.11 with what it needs installed beforehand
_ANYWAY = {"pictologics": ("--ignore-requires-python", "--no-deps")}
_READY = ".ready"


class EnvironmentsError(ModelsError):
    """No environment can be made: there is no venv module, or the folder cannot be written."""


def rival_interpreters(folder: Path) -> Iterator[str]:
    """Make what is missing and give each rival's interpreter.

    A rival that does not install here is named on standard error and left out.

    Args:
        folder: where the environments are kept, about 1 GB for all.

    Raises:
        EnvironmentsError: the folder cannot hold environments.
    """
    for name in RIVALS:
        home = folder / name
        python = home / "bin" / "python"
        if not (home / _READY).is_file():
            sys.stderr.write(f"installing {name} into {home}\n")
            try:
                venv.create(home, with_pip=True, clear=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise EnvironmentsError(f"{home} cannot hold an environment: {error}") from error
            if not _install(python, name):
                continue
            (home / _READY).touch()
        yield str(python)


def _install(python: Path, name: str) -> bool:
    for package in (*_BEFORE.get(name, ()), "numpy", name):
        options = _ANYWAY.get(package, ())
        command = [str(python), "-m", "pip", "install", "--quiet", *options, package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own interpreter
        if done.returncode:
            words = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason"]
            sys.stderr.write(f"{name} does not install here: {words[-1]}\n")
            return False
    return True
