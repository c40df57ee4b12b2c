"""Images that a case misses, asked of a real archive: C-GET, C-MOVE and WADO-RS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless
from sqlalchemy import Connection, select, update

from node.audit.tables import Instance, Job, LedgerJob
from node.audit.trail import Trail
from node.config import Settings
from node.database import utc_now
from node.jobs.arriving import arrivals
from node.jobs.dbos_engine import DbosEngine, migrate
from node.jobs.edge import FetchAnswer, FetchQuestion
from node.jobs.engine import Task
from node.jobs.fetching import DELAYS_S, Fetcher, here
from node.jobs.pairing import Pairer
from node.receive.inbox import Inbox
from node.receive.parser import HeaderParser
from node.receive.retrieved import RetrievedIntake
from node.service.compose import compose
from node.service.fetching import fetch_stage
from tests.peers import Orthanc, free_ports, orthanc
from tests.receive_fixtures import (
    Desk,
    a_desk_in,
    a_segmentation,
    a_source,
    an_ultrasound,
    derived_from,
    encoded,
    listening,
)
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def an_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("source")) as peer:
        yield peer


class Queues:
    """An engine that runs its tasks when the test says so, in the order in which they came."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.seen: set[str] = set()

    def enqueue(self, connection: Connection, task: Task) -> None:
        assert connection.in_transaction()
        if task.key not in self.seen:
            self.seen.add(task.key)
            self.tasks.append(task)


@dataclass
class Node:
    """Intake, pairing and fetching of a node; nothing is assessed."""

    desk: Desk
    queues: Queues
    handlers: dict[str, Callable[..., None]]
    delays: list[float] = field(default_factory=list)

    def run(self, asks: int = 1) -> None:
        """Run what is queued, and what that queues, until the sources were asked so often."""
        while self.queues.tasks and asks:
            task = self.queues.tasks.pop(0)
            if task.queue == "fetch":
                self.delays.append(task.delay_s)
                asks -= 1
            if handler := self.handlers.get(task.queue):
                handler(*task.arguments)
        for task in [one for one in self.queues.tasks if one.queue == "pairing"]:
            self.queues.tasks.remove(task)
            self.handlers["pairing"](*task.arguments)

    def reason(self) -> tuple[str, str]:
        with self.desk.engine.connect() as connection:
            row = connection.execute(select(Job.state, Job.reason)).one()
        return str(row.state), str(row.reason)

    def asked(self) -> list[dict[str, Any]]:
        with self.desk.engine.connect() as connection:
            query = select(LedgerJob.detail).where(LedgerJob.event == "sources-asked")
            return list(connection.scalars(query.order_by(LedgerJob.id)))


@contextmanager
def a_node(
    folder: Path,
    parser: HeaderParser,
    *sources: dict[str, Any],
    knows: Orthanc | None = None,
    fetch: Callable[[FetchQuestion], tuple[FetchAnswer, ...]] | None = None,
) -> Iterator[Node]:
    """A node with sources; `knows` is an archive that is told where its receiver is."""
    desk = a_desk_in(folder, parser)
    queues = Queues()

    def enqueue(connection: Connection, instances: Sequence[int]) -> None:
        queues.enqueue(connection, arrivals(instances))

    desk.inbox = Inbox(
        desk.settings.node, desk.blobs, desk.engine, Trail("receive"), parser, enqueue
    )
    settings = Settings.model_validate(
        desk.settings.model_dump() | {"source": sources, "pairing": {"grace_s": 0}}
    )
    stages = replace(
        compose(settings),
        fetch=fetch
        or fetch_stage(settings, RetrievedIntake(desk.inbox), partial(here, desk.engine)),
    )
    rooms = (desk.engine, Trail("test"), queues, stages)
    handlers = {"pairing": Pairer(*rooms, desk.blobs), "fetch": Fetcher(*rooms)}
    with ExitStack() as stack:
        if knows is not None:
            _, port = stack.enter_context(listening(desk))
            knows.set_modality("crdl", "CRDL", "127.0.0.1", port)
        yield Node(desk, queues, handlers)


def a_source_of(peer: Orthanc, how: str) -> dict[str, Any]:
    if how == "wado":
        return {"name": "pacs", "protocol": "dicomweb", "url": peer.dicomweb_url}
    address = {"ae_title": "ORTHANC", "host": peer.host, "port": peer.dicom_port}
    return {"name": "pacs", "retrieve": how, **address}


def a_study(number: int, images: int = 2) -> tuple[list[Any], Any]:
    """Return images in two series, and a SEG of a mass on all of them."""
    study = f"1.2.3.{number}"
    stills = [
        an_ultrasound(
            StudyInstanceUID=study,
            SeriesInstanceUID=f"{study}.{index}",
            SOPInstanceUID=f"{study}.{index}.1",
            Manufacturer="Somebody",
        )
        for index in range(images)
    ]
    frames = [derived_from(a_source(still.SOPInstanceUID), segment=1) for still in stills]
    seg = a_segmentation(frames, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.9")
    return stills, seg


def compressed(still: Dataset, transfer_syntax: str) -> bytes:
    """Return the file of a still, compressed where the transfer syntax says so."""
    dataset = dcmread(BytesIO(encoded(still)))
    if transfer_syntax != ExplicitVRLittleEndian:
        dataset.compress(transfer_syntax, generate_instance_uid=False)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def give(peer: Orthanc, *files: bytes) -> None:
    for data in files:
        sent = httpx.post(f"{peer.url}/instances", content=data, trust_env=False)
        sent.raise_for_status()


@pytest.mark.peers
@pytest.mark.parametrize(("how", "number"), [("get", 1), ("move", 2), ("wado", 3)])
def test_what_a_case_misses_comes_from_the_archive(
    tmp_path: Path, a_parser: HeaderParser, an_archive: Orthanc, how: str, number: int
) -> None:
    stills, seg = a_study(number)
    give(an_archive, *map(encoded, stills))
    source = a_source_of(an_archive, how)
    knows = an_archive if how == "move" else None
    with a_node(tmp_path, a_parser, source, knows=knows) as node:
        node.desk.accept(seg)
        node.run()
        assert node.reason()[0] == "queued"
        (row,) = node.asked()
    uids = [still.SOPInstanceUID for still in stills]
    assert (row["missing"], row["came"]) == (uids, uids)
    assert row["sources"] == [{"name": "pacs", "failure": ""}]
    assert node.desk.events().count("received") == 3
    assert not node.desk.spooled()


@pytest.mark.peers
@pytest.mark.parametrize(("how", "number"), [("get", 11), ("wado", 12)])
def test_each_instance_comes_in_the_transfer_syntax_that_it_is_stored_in(
    tmp_path: Path, a_parser: HeaderParser, an_archive: Orthanc, how: str, number: int
) -> None:
    stills, seg = a_study(number, 3)
    syntaxes = ["1.2.840.10008.1.2.1", RLELossless, JPEGLSLossless]
    give(an_archive, *map(compressed, stills, syntaxes))
    with a_node(tmp_path, a_parser, a_source_of(an_archive, how)) as node:
        node.desk.accept(seg)
        node.run()
        assert node.reason()[0] == "queued"
        with node.desk.engine.connect() as connection:
            query = select(Instance.header).where(Instance.modality == "US")
            headers = connection.scalars(query.order_by(Instance.sop_instance_uid)).all()
    assert [header["transfer_syntax_uid"] for header in headers] == syntaxes


@pytest.mark.peers
@pytest.mark.parametrize(("how", "number"), [("get", 21), ("move", 22), ("wado", 23)])
def test_what_the_archive_does_not_have_is_waited_for_visibly(
    tmp_path: Path, a_parser: HeaderParser, an_archive: Orthanc, how: str, number: int
) -> None:
    stills, seg = a_study(number)
    give(an_archive, encoded(stills[0]))
    knows = an_archive if how == "move" else None
    with a_node(tmp_path, a_parser, a_source_of(an_archive, how), knows=knows) as node:
        node.desk.accept(seg)
        node.run(asks=2)
        told = "1 image(s) not here yet; pacs does not have 1 of them; asked again in 30 s"
        assert node.reason() == ("waiting", told)
        assert node.asked()[0]["came"] == [stills[0].SOPInstanceUID]
        # It comes by itself later: the case goes on.
        node.desk.accept(stills[1])
        node.run()
        assert node.reason()[0] == "queued"


@pytest.mark.peers
def test_an_archive_that_does_not_know_us_is_told_of(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    stills, seg = a_study(31)
    with (
        orthanc(tmp_path / "peer") as peer,
        a_node(tmp_path, a_parser, a_source_of(peer, "move")) as node,
    ):
        give(peer, *map(encoded, stills))
        node.desk.accept(seg)
        node.run()
        failure = node.asked()[0]["sources"][0]["failure"]
    assert "C-MOVE" in failure or "does not know CRDL" in failure


@pytest.mark.peers
def test_the_second_source_is_asked_for_what_the_first_did_not_give(
    tmp_path: Path, a_parser: HeaderParser, an_archive: Orthanc
) -> None:
    stills, seg = a_study(41)
    give(an_archive, *map(encoded, stills))
    dead = {"name": "dead", "ae_title": "DEAD", "host": "127.0.0.1", "port": free_ports(1)[0]}
    with a_node(tmp_path, a_parser, dead, a_source_of(an_archive, "get")) as node:
        node.desk.accept(seg)
        node.run()
        assert node.reason()[0] == "queued"
        first, second = node.asked()[0]["sources"]
    assert "cannot be reached" in first["failure"]
    assert second == {"name": "pacs", "failure": ""}


@pytest.mark.peers
def test_an_expired_image_comes_back_the_same_way(
    tmp_path: Path, a_parser: HeaderParser, an_archive: Orthanc
) -> None:
    stills, seg = a_study(51, 1)
    give(an_archive, encoded(stills[0]))
    with a_node(tmp_path, a_parser, a_source_of(an_archive, "get")) as node:
        node.desk.accept(stills[0])
        with node.desk.engine.begin() as connection:
            connection.execute(update(Instance).values(standing="expired", expired_at=utc_now()))
        node.desk.accept(seg)
        node.run()
        assert node.reason()[0] == "queued"
    assert node.desk.standings() == ["expired", "current", "current"]


def test_without_a_source_nobody_is_asked(tmp_path: Path, a_parser: HeaderParser) -> None:
    _, seg = a_study(61)
    never = pytest.fail
    with a_node(tmp_path, a_parser, fetch=lambda _: never("asked")) as node:
        node.desk.accept(seg)
        node.run()
        assert node.reason() == ("waiting", "2 image(s) not here yet")
        assert node.asked() == []


def test_a_fault_of_the_stage_is_audited_and_tried_again(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    _, seg = a_study(71)

    def breaks(_: FetchQuestion) -> tuple[FetchAnswer, ...]:
        raise RuntimeError("lost its mind")

    source = {"name": "pacs", "protocol": "dicomweb", "url": "http://127.0.0.1:1"}
    with a_node(tmp_path, a_parser, source, fetch=breaks) as node:
        node.desk.accept(seg)
        node.run(asks=100)
        assert node.delays == [10.0, *DELAYS_S]
        assert len(node.asked()) == 1 + len(DELAYS_S)
    assert "RuntimeError: lost its mind" in node.reason()[1]
    assert "send them" in node.reason()[1]


def test_the_queue_engine_runs_what_pairing_asked_for(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    """The same on the engine that a node runs on: the task waits its time, then it is done."""
    _, seg = a_study(81)
    source = {"name": "pacs", "protocol": "dicomweb", "url": "http://127.0.0.1:1"}
    questions: list[FetchQuestion] = []

    def fetch(question: FetchQuestion) -> tuple[FetchAnswer, ...]:
        questions.append(question)
        return (FetchAnswer("pacs", "nothing there"),)

    with a_node(tmp_path, a_parser, source, fetch=fetch) as node:
        node.desk.accept(seg)
        node.run(asks=0)
        (task,) = node.queues.tasks
        migrate(node.desk.engine)
        engine = DbosEngine(node.desk.engine, "one")
        engine.start({"fetch": node.handlers["fetch"]}, {"fetch": 1})
        with node.desk.engine.begin() as connection:
            engine.enqueue(connection, replace(task, delay_s=0.1))
        wait_for(node.asked)
        engine.stop(5)
        assert "nothing there" in node.reason()[1]
    assert len(questions) == 1
