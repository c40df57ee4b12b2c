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

from node.database import open_engine
from node.jobs.admin import list_jobs, show_job

READY_S = 120


@dataclass
class RunningNode:
    """A running node: where it listens, and how to ask and kill it."""

    process: subprocess.Popen[str]
    config: Path
    folder: Path
    dicom_port: int
    web: str

    def crdl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of `crdl` on this node's configuration."""
        return crdl(*arguments, "--config", str(self.config), check=check)

    def jobs(self) -> list[dict[str, Any]]:
        """The node's jobs, newest first."""
        return list_jobs(self.database(), limit=10_000)

    def job(self, job_id: int) -> dict[str, Any]:
        """All that the node says about a job."""
        return show_job(self.database(), job_id)

    def database(self) -> Engine:
        """The node's own database, for reading."""
        return open_engine(f"sqlite:///{self.folder / 'data' / 'node.db'}")

    def settled(self, jobs: int, timeout_s: float = 90) -> list[dict[str, Any]]:
        """Wait until there are so many jobs and all have an outcome."""
        deadline = time.monotonic() + timeout_s
        found: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            found = self.jobs()
            ended = [job for job in found if job["state"] in {"done", "refused", "held", "dead"}]
            if len(found) == jobs == len(ended):
                return found
            time.sleep(0.3)
        raise AssertionError(f"no outcome in {timeout_s} s: {found}\n{self.log()}")

    def log(self) -> str:
        """The last lines that the node wrote to stderr."""
        return (self.folder / "node.log").read_text()[-4000:]

    def tree(self) -> list[psutil.Process]:
        """The node's processes, the supervisor first."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def kill_tree(self) -> None:
        """SIGKILL every process at once, as a power loss would."""
        for process in self.tree():
            process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(90)


def crdl(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `crdl` and return what it printed."""
    command = [sys.executable, "-m", "node", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if check and done.returncode != 0:
        raise AssertionError(
            f"crdl {' '.join(arguments)}: {done.returncode}\n{done.stderr[-3000:]}"
        )
    return done


def write_config(folder: Path, destinations: Sequence[Mapping[str, Any]], extra: str = "") -> Path:
    """Write a node.toml on free ports that delivers to the destinations."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "[node]",
        "port = 0",
        f'data_dir = "{folder / "data"}"',
        "[web]",
        "port = 0",
        extra,
    ]
    for destination in destinations:
        lines.append("[[destination]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in destination.items()]
    config = folder / "node.toml"
    config.write_text("\n".join(lines) + "\n")
    return config


def start(config: Path) -> RunningNode:
    """Start `crdl serve` and wait until it says that it is ready."""
    folder = config.parent
    with (folder / "node.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("ready "):
        process.wait(30)
        raise AssertionError(f"the node did not start: {(folder / 'node.log').read_text()[-4000:]}")
    served = dict(pair.split("=", 1) for pair in line.split()[1:])
    port = int(served["dicom"].rpartition(":")[2])
    return RunningNode(process, config, folder, port, served.get("web", ""))


@contextmanager
def a_node(
    folder: Path, destinations: Sequence[Mapping[str, Any]], extra: str = ""
) -> Iterator[RunningNode]:
    """A node that is stopped at the end, whatever happened."""
    node = start(write_config(folder, destinations, extra))
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.stop()
