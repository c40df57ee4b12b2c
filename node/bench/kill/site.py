"""A node, its archive and its database, each of which can be killed and brought back."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from node.bench.harness import (
    HarnessError,
    Orthanc,
    Postgres,
    RunningNode,
    as_destination,
    orthanc,
    postgres,
    start,
    write_config,
)
from node.blobs import BlobStore
from node.boundaries import DIARY, VARIABLE

_BACK_S = 400.0
_ROLES = ("receive", "work", "deliver", "web")


@dataclass
class Site:
    """What runs; `arm` and `kill` end parts of it, `heal` brings back whatever is not there.

    Attributes:
        killed: Processes that were killed, of whatever kind.
    """

    folder: Path
    config: Path
    archive: Orthanc
    node: RunningNode
    stack: ExitStack
    cluster: Postgres | None
    killed: int = 0
    dead: set[str] = field(default_factory=set)

    @property
    def blobs(self) -> BlobStore:
        """The node's, for looking."""
        return BlobStore(self.folder / "node" / "data" / "blobs", "judge")

    def address(self) -> tuple[str, int]:
        """Where the node takes instances."""
        return "127.0.0.1", self.node.dicom_port

    def arm(self, boundary: str, victim: str) -> None:
        """Let the next process that passes a boundary die: `self`, or `tree`."""
        order = self.orders / f"{boundary}.new"
        order.write_text(victim)
        order.rename(self.orders / boundary)

    def disarm(self, boundary: str) -> bool:
        """Take the order back; tell whether nobody had come by."""
        try:
            (self.orders / boundary).unlink()
        except FileNotFoundError:
            return False
        return True

    def armed(self, boundary: str) -> bool:
        """Whether nobody has come by yet."""
        return (self.orders / boundary).exists()

    @property
    def orders(self) -> Path:
        """The folder in which processes look for their end."""
        return self.folder / "orders"

    def diary(self) -> list[str]:
        """The boundaries at which processes died, in order."""
        path = self.orders / DIARY
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def tree_is_dead(self) -> bool:
        """Whether the node has to be started anew."""
        return self.node.process.poll() is not None

    def kill(self, victim: str) -> int:
        """SIGKILL a role, the tree, the database or the archive; return 0 where it is not there."""
        if self.tree_is_dead:
            return 0
        if victim == "tree":
            victims = self.node.tree()
        elif victim == "pacs":
            victims = _alive(self.archive.process_id)
        elif victim in {"database", "database-immediate"}:
            return self._kill_database(immediate=victim != "database")
        else:
            victims = self.node.role(victim)
        for process in victims:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(victims, timeout=20)
        return int(bool(victims))

    def _kill_database(self, *, immediate: bool) -> int:
        if self.cluster is None:
            raise HarnessError("there is no database process on SQLite")
        if immediate:
            self.cluster.stop()
        else:
            self.cluster.kill()
        self.dead.add("database")
        return 1

    def bring_back(self) -> None:
        """Start what is not there: the tree, the database, the archive; roles come by themselves.

        Raises:
            HarnessError: If it does not start.
        """
        if "database" in self.dead and self.cluster is not None:
            _start_again(self.cluster)
            self.dead.discard("database")
        if not psutil.pid_exists(self.archive.process_id) or _is_zombie(self.archive.process_id):
            ports = (self.archive.dicom_port, self.archive.http_port)
            self.archive = self.stack.enter_context(orthanc(self.folder / "pacs", ports=ports))
        if self.tree_is_dead:
            self.node = start(self.config, environment=self._environment())

    def heal(self) -> None:
        """Bring back what is not there and wait until instances are taken again.

        Raises:
            HarnessError: If it does not come back.
        """
        self.bring_back()
        deadline = time.monotonic() + _BACK_S
        while not (self._listens() and all(self.node.role(role) for role in _ROLES)):
            if self.node.process.poll() is not None or time.monotonic() > deadline:
                raise HarnessError(f"the node did not come back: {self.node.log()}")
            time.sleep(0.1)

    def _listens(self) -> bool:
        try:
            socket.create_connection(self.address(), timeout=2).close()
        except OSError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        return {VARIABLE: str(self.orders)}


@contextmanager
def a_site(folder: Path, database: str) -> Iterator[Site]:
    """A running site on `sqlite` or `postgresql`.

    Raises:
        MissingPeerError: Without Orthanc or PostgreSQL.
        HarnessError: If a part of it does not start.
    """
    (folder / "orders").mkdir(parents=True)
    with ExitStack() as stack:
        cluster = stack.enter_context(postgres()) if database == "postgresql" else None
        archive = stack.enter_context(orthanc(folder / "pacs"))
        config = write_config(
            folder / "node",
            [as_destination(archive)],
            database_url=cluster.new_database() if cluster else "",
        )
        node = start(config, environment={VARIABLE: str(folder / "orders")})
        site = Site(folder, config, archive, node, stack, cluster)
        try:
            yield site
        finally:
            if site.node.process.poll() is None:
                site.node.stop()


def _start_again(cluster: Postgres) -> None:
    """Start the server; the processes of the killed one hold its memory for a moment more."""
    for attempt in range(20):
        try:
            cluster.start()
        except HarnessError:
            if attempt == 19:
                raise
            time.sleep(0.5)
        else:
            return


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _alive(process_id: int) -> list[psutil.Process]:
    return [] if _is_zombie(process_id) else [psutil.Process(process_id)]


def _is_zombie(process_id: int) -> bool:
    try:
        return bool(psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
