"""dcmtk: its sender, and its receiver, which keeps files and nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    HEVCMP51,
    JPEG2000,
    MPEG4HP41,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from node.bench.harness.ports import LOOPBACK, free_ports, wait_for_listener
from node.bench.harness.programs import HarnessError, end, find

# dcmtk proposes one compressed transfer syntax a run, by option.
_PROPOSE = {
    ImplicitVRLittleEndian: "-xi",
    ExplicitVRLittleEndian: "-xe",
    ExplicitVRBigEndian: "-xb",
    JPEGBaseline8Bit: "-xy",
    JPEGExtended12Bit: "-xx",
    JPEGLosslessSV1: "-xs",
    JPEGLSLossless: "-xt",
    JPEGLSNearLossless: "-xu",
    JPEG2000Lossless: "-xv",
    JPEG2000: "-xw",
    RLELossless: "-xr",
    MPEG4HP41: "-xn",
    HEVCMP51: "-x4",
}


@dataclass(frozen=True, slots=True)
class StoreScp:
    """A running storescp.

    Attributes:
        process_id: Of the listening process; it may have children, one an association.
    """

    ae_title: str
    host: str
    dicom_port: int
    folder: Path
    process_id: int


@contextmanager
def storescp(folder: Path, *, port: int | None = None) -> Iterator[StoreScp]:
    """A running storescp that forks for each association and writes into `folder`.

    It does not fsync: what it acknowledges can be gone after a power loss.

    Raises:
        MissingPeerError: Without dcmtk.
        HarnessError: If it does not start.
    """
    program = find("storescp")
    folder.mkdir(parents=True, exist_ok=True)
    chosen = port or free_ports(1)[0]
    command: list[str | Path] = [
        program,
        *("--fork", "--promiscuous", "+xa", "+B", "-aet", "STORESCP", "-od", folder),
        *("--max-pdu", "131072", str(chosen)),
    ]
    process = subprocess.Popen(  # noqa: S603 - the installed program
        command,
        env=os.environ | {"TCP_NODELAY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_listener(process, chosen, "storescp")
        yield StoreScp("STORESCP", LOOPBACK, chosen, folder, process.pid)
    finally:
        end(process)


def storescu(
    host: str,
    port: int,
    files: Sequence[Path],
    *,
    called_ae: str = "CRDL",
    calling_ae: str = "STORESCU",
    timeout_s: float = 120,
) -> list[subprocess.CompletedProcess[str]]:
    """Send files with dcmtk's storescu: one association a run of equal transfer syntaxes.

    The order of the files is kept. `-R` is needed for SOP classes that dcmtk does not propose by
    itself, such as SEG.

    Raises:
        MissingPeerError: Without dcmtk.
        HarnessError: If one was not stored.
    """
    program = find("storescu")
    runs = []
    for transfer_syntax, group in groupby(
        files, lambda path: read_file_meta_info(path).TransferSyntaxUID
    ):
        run = subprocess.run(  # noqa: S603 - the installed program
            [
                program,
                *("-v", "-R", _PROPOSE[transfer_syntax]),
                *("-aet", calling_ae, "-aec", called_ae, host, str(port)),
                *map(str, group),
            ],
            env=os.environ | {"TCP_NODELAY": "1"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if run.returncode != 0:
            raise HarnessError(f"storescu failed: {run.stdout[-2000:]}{run.stderr[-2000:]}")
        runs.append(run)
    return runs
