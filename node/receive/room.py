"""Whether the node has room for another instance: space on the disk and few jobs in the queue."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from sqlalchemy import Engine, func, select

from node.audit.tables import Job
from node.blobs import BlobStore
from node.config import NodeSettings
from node.database import read_only
from node.receive.faults import OutOfResourcesError

_LOG = logging.getLogger(__name__)
_REMEMBER_S: Final = 1.0
# A waiting job is not counted: what it waits for is an instance that must still get in.
_BACKLOG_STATES = ("queued", "running")


class Room:
    """Looks at most once a second; recovers by itself."""

    def __init__(self, settings: NodeSettings, blobs: BlobStore, engine: Engine) -> None:
        self._settings = settings
        self._blobs = blobs
        self._engine = engine
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._lacking = ""

    def require(self) -> None:
        """Let pass while there is room.

        Raises:
            OutOfResourcesError: Which of the two is short.
        """
        with self._lock:
            if time.monotonic() - self._looked_at > _REMEMBER_S:
                lacking = self._look()
                if lacking != self._lacking:
                    _LOG.warning("%s", lacking or "there is room again, instances are accepted")
                self._lacking = lacking
                self._looked_at = time.monotonic()
            if self._lacking:
                raise OutOfResourcesError(self._lacking)

    def has_disk(self) -> bool:
        """Say whether the disk has the configured free space, without asking the database."""
        return self._blobs.free_bytes() >= self._settings.minimum_free_mib << 20

    def _look(self) -> str:
        if not self.has_disk():
            return f"less than {self._settings.minimum_free_mib} MiB of disk are free"
        with read_only(self._engine) as connection:
            backlog = connection.scalar(
                select(func.count()).select_from(Job).where(Job.state.in_(_BACKLOG_STATES))
            )
        if backlog and backlog >= self._settings.maximum_backlog:
            return f"{backlog} jobs are queued"
        return ""
