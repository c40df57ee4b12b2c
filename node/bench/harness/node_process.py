"""The node as a process tree, as an admin starts it; stopped by its own process id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine

from node.bench.harness.orthanc import Orthanc
from node.bench.harness.programs import HarnessError
from node.config import load_settings
from node.database import open_engine
from node.jobs.admin import list_jobs, show_job

_COMMAND_S = 300.0
_STOP_S = 90.0
_ENDED = frozenset({"done", "refused", "held", "dead"})


@dataclass
class RunningNode:
    """A running node: where it listens, and how to ask and kill it.

    Attributes:
        dicom_port: 0 where its role does not listen.
        web: Its address, "" where its role serves none.
    """

    process: subprocess.Popen[str]
    config: Path
    folder: Path
    dicom_port: int
    web: str

    def crdl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of `crdl` on this node's configuration."""
        return crdl(*arguments, "--config", str(self.config), check=check)

    def jobs(self) -> list[dict[str, Any]]:
        """Return the node's jobs, newest first."""
        return list_jobs(self.database(), limit=10_000)

    def job(self, job_id: int) -> dict[str, Any]:
        """Return all that the node says about a job."""
        return show_job(self.database(), job_id)

    def database(self) -> Engine:
        """Open the node's own database, for reading."""
        return open_engine(load_settings(self.config).database_url)

    def settled(self, jobs: int, timeout_s: float = 90) -> list[dict[str, Any]]:
        """Wait until there are so many jobs and all have an outcome.

        Raises:
            HarnessError: If that is not so in time.
        """
        deadline = time.monotonic() + timeout_s
        found: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            found = self.jobs()
            ended = [job for job in found if job["state"] in _ENDED]
            if len(found) == jobs == len(ended):
                return found
            time.sleep(0.3)
        raise HarnessError(f"no outcome in {timeout_s} s: {found}\n{self.log()}")

    def log(self) -> str:
        """Return the last lines that the node wrote to stderr."""
        return _tail(self.folder)

    def tree(self) -> list[psutil.Process]:
        """Return the node's processes, the first one first."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def role(self, name: str) -> list[psutil.Process]:
        """Return the processes of a role of a supervised node: receive, work, deliver, web."""
        return [one for one in self.tree()[1:] if ["--role", name] == _role_of(one)]

    def kill_tree(self) -> None:
        """SIGKILL every process at once, as a power loss would."""
        for process in self.tree():
            process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(_STOP_S)


def crdl(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `crdl` and return what it printed.

    Raises:
        HarnessError: If it fails and `check` is set.
    """
    command = [sys.executable, "-m", "node", *arguments]
    done = subprocess.run(  # noqa: S603 - our own module
        command, capture_output=True, text=True, check=False, timeout=_COMMAND_S
    )
    if check and done.returncode != 0:
        raise HarnessError(f"crdl {' '.join(arguments)}: {done.returncode}\n{done.stderr[-3000:]}")
    return done


def as_destination(archive: Orthanc, **further: object) -> dict[str, object]:
    """Return the `[[destination]]` that delivers to an Orthanc by C-STORE; `further` wins."""
    return {
        "name": "pacs",
        "protocol": "dimse",
        "ae_title": archive.ae_title,
        "host": archive.host,
        "port": archive.dicom_port,
        **further,
    }


def write_config(
    folder: Path,
    destinations: Sequence[Mapping[str, Any]],
    extra: str = "",
    *,
    database_url: str = "",
    node: Mapping[str, Any] | None = None,
) -> Path:
    """Write a node.toml on free ports that delivers to the destinations.

    Args:
        folder: Gets node.toml, the log and the data folder.
        destinations: Keys and values of each `[[destination]]`.
        extra: Further sections, as text.
        database_url: Of a PostgreSQL database; "" is SQLite in the data folder.
        node: Further keys and values of `[node]`, which win.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["[node]", *_pairs({"port": 0, "data_dir": str(folder / "data"), **(node or {})})]
    lines += ["[web]", "port = 0"]
    if database_url:
        lines += ["[database]", *_pairs({"url": database_url})]
    lines.append(extra)
    for destination in destinations:
        lines += ["[[destination]]", *_pairs(destination)]
    config = folder / "node.toml"
    config.write_text("\n".join(lines) + "\n")
    return config


def start(
    config: Path, *, role: str = "all", environment: Mapping[str, str] | None = None
) -> RunningNode:
    """Start `crdl serve` and wait until it says that it is ready.

    Args:
        config: A node.toml; the log goes beside it.
        role: `all`, or one role by itself: several such nodes share a PostgreSQL database.
        environment: Variables over those of this process.

    Raises:
        HarnessError: If it does not become ready.
    """
    folder = config.parent
    with (folder / "node.log").open("a") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "node", "serve", "--role", role, "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
        )
    line = process.stdout.readline() if process.stdout else ""
    if line.split()[:1] != ["ready"]:
        if process.poll() is None:
            process.terminate()
        process.wait(_STOP_S)
        raise HarnessError(f"the node did not start: {_tail(folder)}")
    served = dict(pair.split("=", 1) for pair in line.split()[1:])
    port = int(served.get("dicom", "0").rpartition(":")[2])
    return RunningNode(process, config, folder, port, served.get("web", ""))


@contextmanager
def a_node(
    folder: Path,
    destinations: Sequence[Mapping[str, Any]],
    extra: str = "",
    *,
    database_url: str = "",
    role: str = "all",
    node: Mapping[str, Any] | None = None,
) -> Iterator[RunningNode]:
    """A node that is stopped at the end, whatever happened; see `write_config` and `start`."""
    config = write_config(folder, destinations, extra, database_url=database_url, node=node)
    running = start(config, role=role)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


def _role_of(process: psutil.Process) -> list[str]:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return []
    return command[command.index("--role") :][:2] if "--role" in command else []


def _tail(folder: Path) -> str:
    return (folder / "node.log").read_text()[-4000:]
