"""PixelMed's DicomSRValidator on many files at once: one Java process, style sheets compiled once.

Its warm-up takes most of its time: of four reports the first took 12.5 s, the fourth 4.1 s.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.peers import require

_JAR = Path("/usr/share/java/pixelmed.jar")
_DRIVER = Path(__file__).with_name("ValidateReports.java")
# Without these limits lifted, the validator dies half-way, which is no pass.
_LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]


def validate(files: Sequence[Path], timeout_s: float = 600) -> dict[Path, str]:
    """Return what PixelMed says about each file.

    Java compiles the driver from its source, which needs a JDK (`javac`).
    """
    require("DicomSRValidator")
    require("javac")
    done = subprocess.run(
        ["java", *_LIMITS, "-cp", str(_JAR), str(_DRIVER), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    if done.returncode != 0:
        pytest.fail(f"PixelMed ended with {done.returncode}: {done.stderr[-2000:]}")
    said: dict[Path, str] = {}
    for part in done.stdout.split("== FILE ")[1:]:
        name, _, text = part.partition("\n")
        said[Path(name)] = text
    return said


def errors(said: str) -> list[str]:
    """Give the errors in what PixelMed said about a file; to have not finished is one."""
    found = [line for line in said.splitlines() if line.startswith("Error")]
    expected = ("Found Root Template TID_1500", "IOD validation complete")
    return found + [f"PixelMed did not say {one!r}" for one in expected if one not in said]
