"""Stage boundaries at which a test may kill the process that passes; off unless it asks.

The environment variable `CRDL_KILL_AT` names a folder. A file there with the name of a boundary
(`boundaries.toml`) kills the next process that comes by, once: whoever removes the file dies. In a
node that runs in earnest the variable is not set, and a boundary is one comparison.
"""

from __future__ import annotations

import os
import signal
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

VARIABLE: Final = "CRDL_KILL_AT"
#: What the file holds: who dies. `tree` is the process that passes and the one that started it.
VICTIMS: Final = ("self", "tree")
#: Beside the files to be found: who died where, a line each, `boundary pid`.
DIARY: Final = "killed"


def boundaries() -> Mapping[str, str]:
    """Return every boundary in the order of the flow, with what has just happened there."""
    return MappingProxyType(
        {name: text for room in _table().values() for name, text in room.items()}
    )


def rooms() -> Mapping[str, str]:
    """Return the room of each boundary: receive, pair, assess or deliver."""
    return {name: room for room, names in _table().items() for name in names}


def _table() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads((files(__package__) / "boundaries.toml").read_text("utf-8"))


_FOLDER: Final = os.environ.get(VARIABLE)
_KNOWN: Final = boundaries() if _FOLDER else None


def passing(name: str) -> None:
    """Mark a stage boundary; where a test has put a file for it, the process dies here.

    Raises:
        LookupError: In a test run, if there is no such boundary.
    """
    if _FOLDER is None or _KNOWN is None:
        return
    if name not in _KNOWN:
        raise LookupError(f"boundaries.toml knows no {name!r}")
    order = Path(_FOLDER) / name
    try:
        victim = order.read_text("ascii").strip()
        order.unlink()  # of several that come by together one finds the file
    except FileNotFoundError:
        return
    with (order.parent / DIARY).open("a", encoding="ascii") as diary:
        diary.write(f"{name} {os.getpid()}\n")
    if victim == "tree":
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
