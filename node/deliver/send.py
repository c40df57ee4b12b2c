"""Sending any DICOM files to any storage SCP: the work behind `crdl send`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.misc import is_dicom

from node.config import TlsSettings
from node.deliver.association import Peer, Timeouts
from node.deliver.dimse import DimseArchive
from node.deliver.package import Outgoing, read_outgoing
from node.errors import DeliveryError


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one file; `detail` is "" or one line, also for what was stored."""

    path: Path
    sop_instance_uid: str
    stored: bool
    detail: str = ""


def send_files(
    paths: Sequence[Path],
    ae_title: str,
    host: str,
    port: int,
    calling_ae: str = "CRDL",
    progress: Callable[[SendResult], None] | None = None,
    *,
    tls: TlsSettings | None = None,
    timeouts: Timeouts | None = None,
) -> list[SendResult]:
    """Send files by C-STORE over one association (more only beyond 128 contexts).

    Args:
        paths: Files, and folders that are searched for DICOM files in the order of their names.
            Whatever else lies in a folder is left out; a file that is named itself has to be one.
        ae_title: The called AE title.
        host: Name or address of the peer.
        port: Its port.
        calling_ae: Our AE title.
        progress: Called with each result as it comes.
        tls: How to speak TLS; None is plain DICOM.
        timeouts: How long to wait for the peer.

    Returns:
        A result a file, those that could not be sent first.

    Raises:
        DeliveryError: If nothing at all could be sent because there is no association.
    """
    peer = Peer(
        "peer", ae_title, host, port, calling_ae, tls or TlsSettings(), timeouts or Timeouts()
    )
    results: list[SendResult] = []

    def note(result: SendResult) -> None:
        results.append(result)
        if progress is not None:
            progress(result)

    outgoing: dict[str, Outgoing] = {}
    for path in _expand(paths):
        try:
            item = read_outgoing(path)
        except DeliveryError as error:
            note(SendResult(path, "", stored=False, detail=str(error)))
            continue
        first = outgoing.setdefault(item.sop_instance_uid, item)
        if first is not item:
            told = f"same SOP Instance UID as {first.path}"
            note(SendResult(path, item.sop_instance_uid, stored=False, detail=told))
    with DimseArchive(peer, query=False) as archive:
        if outgoing:
            archive.connect(list(outgoing.values()))
        for uid, answer in archive.store_each(list(outgoing.values())):
            note(SendResult(outgoing[uid].path, uid, answer.stored, answer.detail))
    return results


def _expand(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = (item for item in sorted(path.rglob("*")) if item.is_file())
            files += [item for item in found if item.name != "DICOMDIR" and is_dicom(item)]
        else:
            files.append(path)
    return files
