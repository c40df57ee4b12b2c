"""A modality that sends study after study, each instance until it is acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from node.bench.kill.studies import Study
from node.deliver.association import Timeouts
from node.deliver.send import send_files
from node.errors import DeliveryError

_PAUSE_S = 0.3
_TIMEOUTS = Timeouts(connect_s=2, acse_s=10, dimse_s=20, idle_s=30)


class Modality:
    """Sends in a thread of its own, from `start` to `stop`.

    Args:
        studies: What to send.
        address: Where the node listens at the moment; it may come back elsewhere.
        may_go_on: Whether the node is to get another study now, so that the backlog is bounded.

    Attributes:
        acknowledged: SOP Instance UIDs that the node has answered with success, each with the
            moment (`time.monotonic()`).
        sent: Studies that were acknowledged completely.
    """

    def __init__(
        self,
        studies: Iterator[Study],
        address: Callable[[], tuple[str, int]],
        may_go_on: Callable[[int], bool],
    ) -> None:
        self._studies = studies
        self._address = address
        self._may_go_on = may_go_on
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="modality", daemon=True)
        self.acknowledged: dict[str, float] = {}
        self.sent: list[Study] = []
        self.refusals = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 180.0) -> bool:
        """Finish the study that is being sent; tell whether it was acknowledged in time."""
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._may_go_on(len(self.sent)):
                self._stopping.wait(_PAUSE_S)
                continue
            study = next(self._studies)
            for file in study.files:
                while not self._send(file):
                    time.sleep(_PAUSE_S)
            self.sent.append(study)

    def _send(self, file: Path) -> bool:
        host, port = self._address()
        try:
            (result,) = send_files([file], "CRDL", host, port, "MODALITY", timeouts=_TIMEOUTS)
        except DeliveryError:
            self.refusals += 1
            return False
        if result.stored:
            self.acknowledged[result.sop_instance_uid] = time.monotonic()
        return result.stored
