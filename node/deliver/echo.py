"""A sign of life from a destination, for `crdl doctor`."""

from __future__ import annotations

import time

from pynetdicom.presentation import build_context

from node.config import DestinationSettings, Settings, SourceSettings
from node.deliver.association import Peer, Timeouts, associated
from node.deliver.dicomweb import DicomwebArchive
from node.deliver.statuses import SUCCESS, status_name
from node.errors import DeliveryError

_VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 section A.4


def echo(
    destination: DestinationSettings | SourceSettings,
    settings: Settings,
    timeouts: Timeouts | None = None,
) -> float:
    """Ask a destination or source for a sign of life: C-ECHO, or the smallest QIDO-RS query.

    Returns:
        Milliseconds from the first byte out to the answer, connecting included.

    Raises:
        DeliveryError: If it does not answer.
        ConfigurationError: If the URL is none or the TLS files cannot be loaded.
    """
    waits = timeouts or Timeouts()
    start = time.perf_counter()
    if destination.protocol == "dicomweb":
        with DicomwebArchive(destination.name, destination.url, settings.tls, waits) as archive:
            archive.ask()
        return (time.perf_counter() - start) * 1000
    peer = Peer.of(destination, settings, waits)
    with associated(peer, [build_context(_VERIFICATION)]) as association:
        answer = association.send_c_echo()
        elapsed = (time.perf_counter() - start) * 1000
        if answer.get("Status") != SUCCESS:
            told = status_name(answer.Status) if "Status" in answer else "no answer"
            raise DeliveryError(f"{peer} answered C-ECHO with {told}")
    return elapsed
