"""Where the programs of the peers lie, and how they are ended."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sysconfig
from pathlib import Path

from node.errors import CrdlError

#: The account that runs PostgreSQL where we are root.
POSTGRES_USER = "postgres"
_DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
_PATIENCE_S = 20.0

# Where a peer lies if not on PATH. pynetdicom's own storescu, in the virtual environment, would
# stand before dcmtk's on PATH.
_FIXED = {
    "orthanc": ("/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc"),
    "orthanc-dicomweb": ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so",),
    "storescu": ("/usr/bin/storescu",),
    "storescp": ("/usr/bin/storescp",),
    "findscu": ("/usr/bin/findscu",),
    "echoscu": ("/usr/bin/echoscu",),
}


class HarnessError(CrdlError):
    """A node or a peer that a trial needs did not start or did not do its part."""


class MissingPeerError(HarnessError):
    """The peer that a trial needs is not installed; the message names it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the peer {name} is missing")


def find(name: str) -> Path:
    """Return where a peer lies; of `postgresql`, the folder of the server's programs.

    Raises:
        MissingPeerError: If it is not installed.
    """
    found = _postgres_programs() if name == "postgresql" else _program(name)
    if found is None:
        raise MissingPeerError(name)
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM a process that we started; SIGKILL if that does not end it."""
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _program(name: str) -> Path | None:
    if name in _FIXED:
        return next((Path(path) for path in _FIXED[name] if Path(path).exists()), None)
    beside = Path(sysconfig.get_path("scripts"), name)
    found = str(beside) if beside.exists() else shutil.which(name)
    return None if found is None else Path(found)


def _postgres_programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(_DEBIAN_POSTGRES.glob("*/bin"))
    # The server refuses to run as root.
    return folders[-1] if folders and (os.geteuid() != 0 or _has_user()) else None


def _has_user() -> bool:
    try:
        pwd.getpwnam(POSTGRES_USER)
    except KeyError:
        return False
    return True
