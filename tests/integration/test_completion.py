"""A study that is told complete: pairing waits for no quiet, and for what was named it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import select

from node.audit.tables import Job
from node.audit.trail import Trail
from node.config import PairingSettings, Settings
from node.jobs.completion import told_complete
from node.jobs.pairing import Pairer
from node.pair.completeness import decide
from node.receive.parser import HeaderParser
from node.service.compose import compose
from tests.factories import a_question, a_seg, a_segment, an_image
from tests.receive_fixtures import Desk, a_desk_in, a_segmentation, an_ultrasound, derived_from

STUDY = "1.2.3.71"
IMAGE = f"{STUDY}.1"
LONG = PairingSettings(unreferenced_quiet_s=3600, grace_s=3600)


def test_an_unreferenced_seg_of_a_complete_study_waits_for_no_quiet() -> None:
    question = a_question(a_seg(a_segment(1)), an_image("1.2.3.1"))
    assert decide(question, LONG).state == "pending"
    told = decide(replace(question, study_complete=True), LONG)
    assert told.state == "ready"
    assert told.cases[0].inferred


def test_no_doppler_image_is_waited_for_in_a_complete_study() -> None:
    seg = a_seg(a_segment(1, "1.2.3.1", tracking_uid="2.25.9"))
    question = a_question(seg, an_image("1.2.3.1"), arriving=True)
    assert decide(question, LONG).state == "pending"
    assert decide(replace(question, study_complete=True), LONG).state == "ready"


class Tasks(list[tuple[int, ...]]):
    """An engine that collects pairing tasks without delay."""

    def enqueue(self, connection: object, task: object) -> None:
        del connection
        if task.queue == "pairing" and not task.delay_s:  # type: ignore[attr-defined]
            self.append(task.arguments)  # type: ignore[attr-defined]


@dataclass
class Node:
    """Intake and pairing on a study whose SEG names no image."""

    desk: Desk
    tasks: Tasks
    pairer: Pairer

    def receive(self, *datasets: object) -> None:
        for dataset in datasets:
            self.pairer(self.desk.accept(dataset).instance_id)  # type: ignore[arg-type]

    def told(self, *uids: str) -> None:
        with self.desk.engine.begin() as connection:
            told_complete(connection, Trail("test"), self.tasks, STUDY, uids, "mpps US1")
        while self.tasks:
            self.pairer(*self.tasks.pop())

    def state(self) -> str:
        with self.desk.engine.connect() as connection:
            return str(connection.scalar(select(Job.state)))


@pytest.fixture
def a_node(tmp_path: Path) -> Iterator[Node]:
    with HeaderParser() as parser:
        desk, tasks = a_desk_in(tmp_path, parser), Tasks()
        settings = Settings.model_validate({"pairing": LONG.model_dump()})
        stages = compose(settings)
        yield Node(desk, tasks, Pairer(desk.engine, Trail("test"), tasks, stages, desk.blobs))
        desk.engine.dispose()


def a_still() -> object:
    return an_ultrasound(StudyInstanceUID=STUDY, SOPInstanceUID=IMAGE)


def an_unreferenced_seg() -> object:
    return a_segmentation([derived_from(segment=1)], StudyInstanceUID=STUDY)


def test_the_signal_sets_a_waiting_seg_going(a_node: Node) -> None:
    a_node.receive(a_still(), an_unreferenced_seg())
    assert a_node.state() == "waiting"
    a_node.told(IMAGE)
    assert a_node.state() == "queued"


def test_the_last_image_that_was_named_sets_it_going(a_node: Node) -> None:
    a_node.receive(an_unreferenced_seg())
    a_node.told(IMAGE)
    assert a_node.state() == "waiting"
    a_node.receive(a_still())
    assert a_node.state() == "queued"


def test_what_was_named_and_never_comes_leaves_the_wait_for_quiet(a_node: Node) -> None:
    a_node.receive(a_still(), an_unreferenced_seg())
    a_node.told(IMAGE, f"{STUDY}.2")
    assert a_node.state() == "waiting"
