"""`crdl send`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from node.cli.output import JsonOption, print_rows, progress_bar
from node.errors import InputError


def send(
    files: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.")],
    to: Annotated[str, typer.Option("--to", help="AE@HOST:PORT")],
    calling: Annotated[str, typer.Option(help="Our AE title.")] = "CRDL-SEND",
    as_json: JsonOption = False,
) -> None:
    """Send DICOM files by C-STORE; exits 1 unless every one was stored."""
    from node.deliver.send import SendResult, send_files  # noqa: PLC0415 - pynetdicom on demand

    address = re.fullmatch(r"([^@]{1,16})@([^:]+|\[[^\]]+\]):(\d{1,5})", to)
    if address is None:
        raise InputError(f"--to {to!r} is not of the form AE@HOST:PORT")
    missing = [path for path in files if not path.exists()]
    if missing:
        raise InputError(f"there is no file {missing[0]}")
    done = 0
    with progress_bar("sending") as report:

        def note(_: SendResult) -> None:
            nonlocal done
            done += 1
            report(done, max(done, len(files)))

        ae_title, host, port = address.groups()
        results = send_files(files, ae_title, host.strip("[]"), int(port), calling, note)
    rows = [
        {
            "file": result.path,
            "sop_instance_uid": result.sop_instance_uid,
            "stored": result.stored,
            "detail": result.detail,
        }
        for result in results
    ]
    print_rows(rows, ("file", "stored", "detail"), as_json=as_json)
    if not results or not all(result.stored for result in results):
        raise typer.Exit(1)
