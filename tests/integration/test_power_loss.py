"""What the kernel is told, and in which order, before a sender gets its success.

A power loss keeps what was fsynced and may lose or reorder everything else. So the bytes are on
the disk before they get their name, the name before the row is committed, the commit before the
answer; seen from outside, in the system calls of a process that takes one instance over.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import require

ROOT = Path(__file__).parents[2]
_CALLS = "rename,renameat,renameat2,fsync,fdatasync,write,pwrite64,mkdir,mkdirat"
# With -f each line begins with the process; -y shows the path behind a descriptor. A call during
# which another thread made one is written in two: begun, "unfinished", and later "resumed".
_LINE = re.compile(r"^(?P<process>\d+) +(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_BEGUN = re.compile(r"^(?P<process>\d+) +(?P<begun>\w+\(.*) <unfinished \.\.\.>$")
_ENDED = re.compile(r"^(?P<process>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)$")
_PATH = re.compile(r"\d+<(?P<path>[^>]*)>")


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str

    @property
    def path(self) -> str:
        found = _PATH.match(self.arguments)
        return found["path"] if found else ""

    @property
    def durable(self) -> bool:
        return self.name in {"fsync", "fdatasync"}


@pytest.fixture(scope="module")
def the_trace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """The calls from the arrival of the bytes to the acknowledgement, and the node's folder."""
    folder = tmp_path_factory.mktemp("power")
    log = folder / "trace"
    done = subprocess.run(
        [
            require("strace"),
            *("-f", "--seccomp-bpf", "-y", "-s", "64", "-e", f"trace={_CALLS}", "-o", log),
            *(sys.executable, "-m", "tests.power_loss_intake", folder / "node"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    if "ptrace" in done.stderr and done.returncode != 0:
        pytest.skip(f"the peer strace may not trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    calls = _calls(log.read_text(errors="replace"))
    said = [i for i, call in enumerate(calls) if call.name == "write" and '"a' in call.arguments]
    arrived = next(i for i in said if '"arrived' in calls[i].arguments)
    acknowledged = next(i for i in said if '"acknowledged' in calls[i].arguments)
    return folder / "node", calls[arrived:acknowledged]


def _calls(log: str) -> list[Call]:
    """The calls that succeeded, in the order in which they ended: only then is a sync one."""
    begun: dict[str, str] = {}
    calls = []
    for line in log.splitlines():
        if found := _BEGUN.match(line):
            begun[found["process"]] = found["begun"]
            continue
        if found := _ENDED.match(line):
            process = found["process"]
            line = f"{process} {begun.pop(process, '')}{found['rest']}"  # noqa: PLW2901
        if (found := _LINE.match(line)) and int(found["result"]) >= 0:
            calls.append(Call(found["call"], found["arguments"]))
    return calls


def test_a_call_written_in_two_counts_where_it_ended() -> None:
    log = """\
7 fsync(5</a> <unfinished ...>
8 write(1</b>, "x", 1) = 1
7 <... fsync resumed>) = 0
8 rename("/a", "/c" <unfinished ...>
8 <... rename resumed>) = 0
9 fsync(6</d>) = -1 EIO (Input/output error)
"""
    calls = _calls(log)
    assert [(call.name, call.path) for call in calls] == [
        ("write", "/b"),
        ("fsync", "/a"),
        ("rename", ""),
    ]


def _renamed(calls: list[Call]) -> tuple[int, str, str]:
    """Where the spool file gets its final name: position, old and new path."""
    for number, call in enumerate(calls):
        if call.name.startswith("rename"):
            old, new = re.findall(r'"([^"]+)"', call.arguments)
            return number, old, new
    pytest.fail("nothing was renamed")


def test_the_bytes_are_on_the_disk_before_they_get_their_name(
    the_trace: tuple[Path, list[Call]],
) -> None:
    _, calls = the_trace
    at, old, new = _renamed(calls)
    assert "/spool/" in old
    assert re.search(r"/blobs/([0-9a-f]{2})/\1[0-9a-f]{62}$", new)
    assert any(call.durable and call.path.endswith(Path(old).name) for call in calls[:at])


def test_the_name_is_on_the_disk_before_the_row_is_committed(
    the_trace: tuple[Path, list[Call]],
) -> None:
    _, calls = the_trace
    at, _, new = _renamed(calls)
    after = [call.path for call in calls[at:] if call.durable]
    folder, log = str(Path(new).parent), next(path for path in after if path.endswith("-wal"))
    assert folder in after
    assert after.index(folder) < after.index(log)
    # The folder itself is there from the start, so that it need not be synced in its own.
    assert not [call for call in calls[:at] if call.name.startswith("mkdir")]


def test_the_commit_is_on_the_disk_before_the_sender_is_answered(
    the_trace: tuple[Path, list[Call]],
) -> None:
    folder, calls = the_trace
    logs = [i for i, call in enumerate(calls) if call.path == f"{folder / 'node.db'}-wal"]
    synced = [i for i in logs if calls[i].durable]
    assert synced, "SQLite runs with synchronous=FULL: a commit syncs its log"
    written = [i for i in logs if calls[i].name in {"write", "pwrite64"}]
    assert max(synced) > max(written), "the last page of the commit is not synced"
    assert synced[-1] > _renamed(calls)[0]
