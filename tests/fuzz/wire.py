"""Mutated objects over the wire to a receiver and to STOW-RS, good ones between them.

    python -m tests.fuzz.wire --objects 10000

Every good object must be stored to the byte, every mutated one answered or its association
aborted; no process may die or hang.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from sqlalchemy import text

from node.database import open_engine
from tests.attacks import an_image, body
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import datasets, in_syntax, reports
from tests.raw_sender import AbortedError, RawSender
from tests.receive_fixtures import an_ultrasound, encoded

_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
_HANGS_S = 60.0
_GOOD_EVERY = 10
_PDUS_EVERY = 25
_STOWED_EVERY = 5


@dataclass
class Outcome:
    """What came of it."""

    answers: Counter[str] = field(default_factory=Counter)
    good: dict[str, str] = field(default_factory=dict)
    hangs: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: str) -> None:
        """Count an answer."""
        with self.lock:
            self.answers[answer] += 1


@contextmanager
def running(role: str, config: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A role of the node as a process; yields it and where it listens."""
    with (config.parent / f"{role}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "serve", "--role", role, "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("ready "):
        raise SystemExit((config.parent / f"{role}.log").read_text())
    try:
        yield process, dict(pair.split("=", 1) for pair in line.split()[1:])
    finally:
        process.terminate()
        process.wait(60)


def kinds() -> list[tuple[str, str, str, bytes]]:
    """Return class, UID, syntax and bytes of each good seed."""
    names = {"6.1": "US", "66.4": "SEG", "66.7": "SEG"}
    found = []
    for dataset in (*datasets(), *reports()):
        suffix = str(dataset.SOPClassUID).removeprefix("1.2.840.10008.5.1.4.1.1.")
        for syntax in _SYNTAXES:
            data = in_syntax(dataset, syntax)[1:]
            found.append((names.get(suffix, "SR"), str(dataset.SOPInstanceUID), syntax, data))
    return found


def attack(
    number: int, objects: int, seed: int, receiver: tuple[str, int], web: str, outcome: Outcome
) -> None:
    """Send one thread's share: associations of up to 20 objects."""
    chance, seeds, sent = random.Random(seed * 1000 + number), kinds(), 0
    client = httpx.Client(timeout=_HANGS_S)
    while sent < objects:
        kind, uid, syntax, data = chance.choice(seeds)
        try:
            with RawSender(receiver, syntax, timeout_s=_HANGS_S) as sender:
                for _ in range(20):
                    sent += 1
                    if sent % _PDUS_EVERY == 0:
                        sender.send(mutated(b"\4\0\0\0\0\x20" + chance.randbytes(40), chance))
                    if sent % _STOWED_EVERY == 0:
                        _stow(client, web, mutated(encoded(an_ultrasound()), chance), outcome)
                    else:
                        status = sender.store(kind, uid, mutated(data, chance))
                        outcome.note(f"{status:04X}")
                    if sent % _GOOD_EVERY == 0:
                        _send_good(f"1.2.826.0.1.{number + 1}.{sent}", receiver, outcome)
                sender.release()
        except AbortedError as error:
            outcome.note("aborted")
            if "timed out" in str(error):
                outcome.hangs += 1


def _send_good(uid: str, receiver: tuple[str, int], outcome: Outcome) -> None:
    data = body(an_image(SOPInstanceUID=uid, PixelData=hashlib.sha256(uid.encode()).digest()[:24]))
    with RawSender(receiver, calling="GOOD", timeout_s=_HANGS_S) as sender:
        status = sender.store("US", uid, data)
        sender.release()
    if status != 0:
        raise SystemExit(f"a good object was answered {status:04X}")
    outcome.note("good")
    with outcome.lock:
        outcome.good[uid] = hashlib.sha256(data).hexdigest()


def _stow(client: httpx.Client, web: str, data: bytes, outcome: Outcome) -> None:
    mark = "fuzz"
    whole = f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode() + data
    whole += f"\r\n--{mark}--\r\n".encode()
    content_type = f'multipart/related; type="application/dicom"; boundary={mark}'
    try:
        answer = client.post(
            f"{web}/dicom-web/studies", content=whole, headers={"Content-Type": content_type}
        )
        outcome.note(f"HTTP {answer.status_code}")
    except httpx.TimeoutException:
        outcome.hangs += 1


def lost(folder: Path, good: dict[str, str]) -> list[str]:
    """Return the good objects that are not in the store to the byte."""
    database = open_engine(f"sqlite:///{folder / 'data' / 'node.db'}")
    with database.connect() as connection:
        rows = dict(
            connection.execute(
                text(
                    "SELECT sop_instance_uid, blob_sha256 FROM instance WHERE standing = 'current'"
                )
            ).all()
        )
    missing = []
    for uid, data in good.items():
        sha256 = rows.get(uid, "")
        blob = folder / "data" / "blobs" / sha256[:2] / sha256
        # The File Meta Information before it is ours.
        if not sha256 or not _ends_with(blob.read_bytes(), data):
            missing.append(uid)
    return missing


def _ends_with(blob: bytes, data: str) -> bool:
    start = blob.find(b"\x08\x00\x16\x00UI")
    return hashlib.sha256(blob[start:]).hexdigest() == data


def main() -> None:
    """Fuzz and print what came of it; exit status 1 if anything was lost, died or hung."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "node.toml"
        config.write_text(
            f"[node]\nport = 0\nminimum_free_mib = 0\nmaximum_backlog = 10000000\n"
            f'data_dir = "{folder / "data"}"\n[web]\nport = 0\nrequests_per_minute = 0\n'
            "[limits]\nconnections_per_minute = 1000000\nassociations_per_minute = 1000000\n"
            # A PDU that claims more than it has is waited for so long; a hang is what takes longer.
            "pdu_s = 10\n"
        )
        result = fuzz(folder, config, asked)
    print(json.dumps(result, indent=1))  # noqa: T201 - what a bench is for
    raise SystemExit(bool(result["lost"] or result["hangs"] or not result["alive"]))


def fuzz(folder: Path, config: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Run the threads beside a watch on both processes."""
    outcome, started = Outcome(), time.monotonic()
    with running("receive", config) as (receiver, dicom), running("web", config) as (web, http):
        host, _, port = dicom["dicom"].rpartition(":")
        share = asked.objects // asked.threads
        threads = [
            threading.Thread(
                target=attack,
                args=(number, share, asked.seed, (host, int(port)), http["web"], outcome),
            )
            for number in range(asked.threads)
        ]
        for thread in threads:
            thread.start()
        highest = 0
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            if receiver.poll() is None:
                highest = max(highest, psutil.Process(receiver.pid).memory_info().rss)
        alive = receiver.poll() is None and web.poll() is None
        left = [path for path in (folder / "data/blobs/spool").rglob("*") if path.is_file()]
    return {
        "objects": share * asked.threads,
        "good": len(outcome.good),
        "lost": lost(folder, outcome.good),
        "answers": dict(outcome.answers.most_common()),
        "hangs": outcome.hangs,
        "alive": alive,
        "spool_files_left": len(left),
        "receiver_mib": highest >> 20,
        "seconds": round(time.monotonic() - started, 1),
    }


if __name__ == "__main__":
    main()
