"""Every attack of the table over the wire against the receiver as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import dcmread
from sqlalchemy import text

from node.database import open_engine
from tests.attacks import ATTACKS, UID, Attack, an_image, body, element, spliced
from tests.raw_sender import AbortedError, RawSender, a_request_without_an_id
from tests.waiting import wait_for

MEMORY_BYTES = 300 << 20


@dataclass
class RunningReceiver:
    """`crdl serve --role receive`, watched for its memory."""

    process: subprocess.Popen[str]
    folder: Path
    address: tuple[str, int]
    highest: int = 0
    highest_of_children: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Note the memory, ten times a second."""
        watched = psutil.Process(self.process.pid)
        while not self._stop.wait(0.1):
            self.highest = max(self.highest, watched.memory_info().rss)
            for child in watched.children():
                try:
                    size = child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                self.highest_of_children = max(self.highest_of_children, size)

    def rows(self, query: str) -> list[Any]:
        """Ask its database."""
        database = open_engine(f"sqlite:///{self.folder / 'data' / 'node.db'}")
        with database.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        self._stop.set()
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def a_receiver_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    folder = tmp_path_factory.mktemp("attacked")
    config = folder / "node.toml"
    config.write_text(f'[node]\nport = 0\nminimum_free_mib = 0\ndata_dir = "{folder / "data"}"\n')
    with (folder / "receiver.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "serve", "--role", "receive", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready dicom="), (folder / "receiver.log").read_text()
    host, _, port = line.strip().removeprefix("ready dicom=").rpartition(":")
    receiver = RunningReceiver(process, folder, (host, int(port)))
    watcher = threading.Thread(target=receiver.watch)
    watcher.start()
    yield receiver
    status = receiver.stop()
    watcher.join()
    assert status == 0
    assert receiver.highest < MEMORY_BYTES
    print(  # noqa: T201 - shown with -s, for the README
        f"receiver {receiver.highest >> 20} MiB, a header child "
        f"{receiver.highest_of_children >> 20} MiB at most"
    )


def last_event(receiver: RunningReceiver) -> tuple[int, str, dict[str, Any]]:
    rows = receiver.rows("SELECT id, event, detail FROM ledger_instance ORDER BY id DESC LIMIT 1")
    return (rows[0][0], rows[0][1], json.loads(rows[0][2])) if rows else (0, "", {})


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_gets_its_status_and_its_row_and_the_next_instance_is_stored(
    a_receiver_process: RunningReceiver, attack: Attack
) -> None:
    before = last_event(a_receiver_process)[0]
    good = f"{UID}.{before + 1}.{ATTACKS.index(attack)}"
    with RawSender(a_receiver_process.address, attack.syntax) as sender:
        assert sender.store(attack.kind, attack.uid, attack.data_set) == attack.status
        number, event, detail = last_event(a_receiver_process)
        if attack.event:
            assert number == before + 1
            assert event in {attack.event, *_TWINS.get(attack.event, ())}
        if event == "refused":
            assert detail["status"] == f"{attack.status:04X}"
            assert detail["reason"]
        sender.release()
    with RawSender(a_receiver_process.address) as sender:
        assert sender.store("US", good, body(an_image(SOPInstanceUID=good))) == 0
        sender.release()
    assert last_event(a_receiver_process)[1] == "received"
    assert not Path("/tmp/evil").exists()  # noqa: S108 - what the attack names


_TWINS = {"received": ("conflict", "updated", "duplicate")}
"""The attacks share one SOP Instance UID, so that every later one meets the first."""


def test_the_same_uid_with_corrected_demographics_is_an_update_and_with_other_pixels_a_conflict(
    a_receiver_process: RunningReceiver,
) -> None:
    uid = f"{UID}.555"
    versions = [
        an_image(SOPInstanceUID=uid, PatientID="WRONG"),
        an_image(SOPInstanceUID=uid, PatientID="WRONG"),
        an_image(SOPInstanceUID=uid, PatientID="RIGHT"),
        an_image(SOPInstanceUID=uid, PatientID="RIGHT", PixelData=bytes(24)),
    ]
    with RawSender(a_receiver_process.address) as sender:
        assert [sender.store("US", uid, body(one)) for one in versions] == [0] * 4
        sender.release()
    events = a_receiver_process.rows(
        f"SELECT event FROM ledger_instance WHERE subject = '{uid}' ORDER BY id"
    )
    assert [row[0] for row in events] == ["received", "duplicate", "updated", "conflict"]
    rows = a_receiver_process.rows(
        f"SELECT standing, blob_sha256 FROM instance WHERE sop_instance_uid = '{uid}' ORDER BY id"
    )
    assert [row[0] for row in rows] == ["superseded", "current", "conflict"]
    for _, sha256 in rows:  # all are kept
        blob = a_receiver_process.folder / "data" / "blobs" / sha256[:2] / sha256
        assert dcmread(blob).SOPInstanceUID == uid


def test_private_elements_are_kept_to_the_byte(a_receiver_process: RunningReceiver) -> None:
    uid, secret = f"{UID}.666", bytes(range(256)) * 8
    image = an_image(SOPInstanceUID=uid)
    with RawSender(a_receiver_process.address) as sender:
        data_set = spliced(0x00091001, element(0x00091001, b"UN", secret), image)
        assert sender.store("US", uid, data_set) == 0
        sender.release()
    ((sha256,),) = a_receiver_process.rows(
        f"SELECT blob_sha256 FROM instance WHERE sop_instance_uid = '{uid}'"
    )
    blob = a_receiver_process.folder / "data" / "blobs" / sha256[:2] / sha256
    assert data_set in blob.read_bytes()


def test_a_clip_of_60_megabytes_on_each_of_four_associations_leaves_the_memory_flat(
    a_receiver_process: RunningReceiver,
) -> None:
    pixels = os.urandom(1 << 20) * 60

    def send(number: int) -> None:
        uid = f"{UID}.777.{number}"
        image = an_image(
            SOPInstanceUID=uid, Rows=1024, Columns=1024, NumberOfFrames=60, PixelData=pixels
        )
        with RawSender(a_receiver_process.address, timeout_s=120) as sender:
            assert sender.store("US", uid, body(image)) == 0
            sender.release()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = a_receiver_process.rows(
        f"SELECT count(*) FROM instance WHERE sop_instance_uid LIKE '{UID}.777.%'"
    )
    assert stored == [(4,)]
    assert a_receiver_process.highest < MEMORY_BYTES


def test_what_is_no_association_never_takes_the_receiver_down(
    a_receiver_process: RunningReceiver,
) -> None:
    started = time.monotonic()
    for number in range(30):
        with RawSender(a_receiver_process.address) as sender:
            try:
                sender.send(bytes([number]) * (10 + number * 37))
                sender.store("US", UID, body(an_image()))
            except AbortedError:
                continue
    wait_for(lambda: a_receiver_process.process.poll() is None)
    assert time.monotonic() - started < 60


def test_a_request_that_cannot_be_answered_ends_the_association_and_leaves_no_file(
    a_receiver_process: RunningReceiver,
) -> None:
    with RawSender(a_receiver_process.address) as sender:
        sender.send(a_request_without_an_id(UID, body(an_image())))
        with pytest.raises(AbortedError):
            sender.store("US", UID, body(an_image()))
    spool = a_receiver_process.folder / "data" / "blobs" / "spool"
    wait_for(lambda: not [path for path in spool.rglob("*") if path.is_file()])
    reason = "a C-STORE request without MessageID"
    aborted = "FROM ledger_association WHERE event = 'aborted'"
    query = f"SELECT 1 {aborted} AND json_extract(detail, '$.reason') = '{reason}'"
    wait_for(lambda: a_receiver_process.rows(query))
