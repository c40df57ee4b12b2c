"""Storage commitment asked of the node: yes only for what an archive has itself, else no."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from sqlalchemy import select, update

from node.audit.tables import Association, LedgerInstance, Pledge
from node.audit.trail import Trail
from node.config import Settings
from node.deliver.association import Timeouts
from node.jobs.committing import Committer
from node.jobs.dbos_engine import DbosEngine, migrate
from node.jobs.pledging import PledgeBook, answering
from node.receive.parser import HeaderParser
from node.service.commitments import commitment_taker
from node.service.pledging import commitment_requests, pledger
from tests.deliver_fixtures import COMMITMENT, COMMITMENT_INSTANCE, AnArchive, an_archive
from tests.receive_fixtures import US, Desk, a_desk_in, an_ultrasound, listening
from tests.waiting import wait_for

SHORT = Timeouts(connect_s=2, commitment_s=0.3)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.jobs.pledging.ASK_AFTER_S", (0.0, 0.1, 0.2, 0.2))
    monkeypatch.setattr("node.jobs.pledging.TELL_AFTER_S", (0.2, 0.2))
    monkeypatch.setattr("node.jobs.pledging._HOLDS_S", 1.0)


@dataclass
class Modality:
    """A machine that asks, and listens for the result where it is told to."""

    port: int
    results: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def hear(self, way: str) -> Callable[[evt.Event], tuple[int, None]]:
        def take(event: evt.Event) -> tuple[int, None]:
            said = event.event_information
            answers = {
                str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", 0))
                for name in ("ReferencedSOPSequence", "FailedSOPSequence")
                for item in said.get(name, [])
            }
            self.results.append((int(event.event_type), answers))
            self.ways.append(way)
            self.came.set()
            return 0x0000, None

        return take

    def ask(
        self,
        *uids: str,
        transaction: str = "2.25.901",
        sop_class: str = US,
        stay_s: float = 0.0,
        action: int = 1,
    ) -> int:
        """Send the N-ACTION, stay on the association for a while, return the status."""
        entity = AE("MODALITY")
        entity.add_requested_context(COMMITMENT)
        association = entity.associate(
            "127.0.0.1",
            self.port,
            ae_title="CRDL",
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.hear("same"))],
        )
        assert association.is_established
        asked = Dataset()
        asked.TransactionUID = transaction
        asked.ReferencedSOPSequence = []
        for uid in uids:
            item = Dataset()
            item.ReferencedSOPClassUID = sop_class
            item.ReferencedSOPInstanceUID = uid
            asked.ReferencedSOPSequence.append(item)
        status, _ = association.send_n_action(asked, action, COMMITMENT, COMMITMENT_INSTANCE)
        self.came.wait(stay_s)
        if stay_s:
            time.sleep(0.3)  # the answer to the result is on its way
        association.release()
        return int(status.Status)


@dataclass
class Node:
    desk: Desk
    archive: AnArchive
    modality: Modality
    engine: DbosEngine

    def holds(self, **elements: object) -> str:
        """Take over an ultrasound instance; return its UID."""
        dataset = an_ultrasound(**elements)
        self.desk.accept(dataset)
        return str(dataset.SOPInstanceUID)

    def archives(self, uid: str) -> None:
        """Let the archive have the instance, as when the modality has sent it there, too."""
        self.archive.received.append((uid, b""))

    def row(self) -> Pledge:
        with self.desk.engine.connect() as connection:
            return connection.execute(select(Pledge.__table__)).one()  # type: ignore[return-value]

    def words(self, uid: str) -> list[str]:
        with self.desk.engine.connect() as connection:
            query = select(LedgerInstance.event).where(LedgerInstance.subject == uid)
            return list(connection.scalars(query.order_by(LedgerInstance.id)))

    def comes_to(self, state: str) -> None:
        wait_for(lambda: self.row().state == state, lambda: f"the request is {self.row().state}")


@contextmanager
def a_node(
    folder: Path,
    parser: HeaderParser,
    *,
    verify: str = "query",
    on: bool = True,
    known_peer: bool = True,
    **behaviour: object,
) -> Iterator[Node]:
    """A receiver and a sender with one archive, and a modality with a port of its own."""
    with ExitStack() as stack:
        archive = stack.enter_context(an_archive(**behaviour))  # type: ignore[arg-type]
        desk = a_desk_in(folder, parser)
        migrate(desk.engine)
        modality = Modality(0)
        listener = AE("MODALITY")
        listener.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
        server = listener.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, modality.hear("reverse"))],
        )
        stack.callback(server.shutdown)
        told = f"MODALITY@127.0.0.1:{server.socket.getsockname()[1]}"
        node = desk.settings.node.model_dump() | {
            "storage_commitment": on,
            "commitment_peers": [told] if known_peer else [],
        }
        settings = Settings.model_validate(
            desk.settings.model_dump()
            | {"node": node, "destination": [archive.destination(verify).model_dump()]}
        )
        engine = DbosEngine(desk.engine, "one")
        trail = Trail("test")
        book = PledgeBook(desk.engine, trail, engine)
        engine.start({"commitment": pledger(settings, book, SHORT)}, {"commitment": 2})
        stack.callback(engine.stop, 5)
        taker = commitment_taker(settings, Committer(desk.engine, trail, engine), book)
        requests = commitment_requests(settings, book)
        _, port = stack.enter_context(listening(desk, commitments=taker, requests=requests))
        modality.port = archive.reverse_port = port
        yield Node(desk, archive, modality, engine)
        for thread in archive.threads:
            thread.join(10)


def test_what_the_archive_has_is_committed_on_the_association_that_asked(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser) as node:
        uid = node.holds()
        node.archives(uid)
        assert node.modality.ask(uid, stay_s=10) == 0x0000
        node.comes_to("reported")
        assert node.words(uid) == ["received", "committed"]
    assert node.modality.results == [(1, {uid: 0})]
    assert node.modality.ways == ["same"]


def test_a_modality_that_leaves_is_told_on_an_association_of_ours(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser) as node:
        uid = node.holds()
        node.archives(uid)
        assert node.modality.ask(uid) == 0x0000
        node.comes_to("reported")
    assert node.modality.results == [(1, {uid: 0})]
    assert node.modality.ways == ["reverse"]


def test_the_only_copy_is_never_committed(tmp_path: Path, a_parser: HeaderParser) -> None:
    with a_node(tmp_path, a_parser) as node:
        here, there = node.holds(), node.holds()
        node.archives(there)
        assert node.modality.ask(here, there, "2.25.404") == 0x0000
        node.comes_to("reported")
    assert node.modality.results == [(2, {here: 0x0112, there: 0, "2.25.404": 0x0112})]
    assert node.words(here) == ["received", "not-committed"]


def test_what_comes_to_the_archive_a_moment_later_is_committed_after_all(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, finds_after=2) as node:
        uid = node.holds()
        node.archives(uid)
        node.modality.ask(uid)
        node.comes_to("reported")
    assert node.modality.results == [(1, {uid: 0})]
    assert node.archive.queries == 3


@pytest.mark.parametrize("way", ["same", "reverse"])
def test_an_archive_that_commits_itself_is_asked_to(
    tmp_path: Path, a_parser: HeaderParser, way: str
) -> None:
    with a_node(tmp_path, a_parser, verify="commitment", commits=way) as node:
        uid, lost = node.holds(), node.holds()
        node.archives(uid)
        node.modality.ask(uid, lost)
        node.comes_to("reported")
    assert node.modality.results == [(2, {uid: 0, lost: 0x0112 if way == "same" else 0x0110})]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [({"find_status": 0xA700}, 0x0110), ({"find": False}, 0x0110)],
    ids=["an archive that fails", "an archive that cannot be asked"],
)
def test_where_no_archive_can_say_it_the_answer_is_no(
    tmp_path: Path, a_parser: HeaderParser, behaviour: dict[str, object], reason: int
) -> None:
    with a_node(tmp_path, a_parser, **behaviour) as node:
        uid = node.holds()
        node.archives(uid)
        node.modality.ask(uid)
        node.comes_to("reported")
    assert node.modality.results == [(2, {uid: reason})]


def test_a_destination_that_proves_nothing_commits_nothing(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, verify="none") as node:
        uid = node.holds()
        node.archives(uid)
        node.modality.ask(uid)
        node.comes_to("reported")
    assert node.modality.results == [(2, {uid: 0x0110})]


def test_two_contents_of_one_uid_and_another_class_are_not_committed(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser) as node:
        uid = node.holds()
        node.archives(uid)
        node.modality.ask(uid, sop_class="1.2.840.10008.5.1.4.1.1.7", transaction="2.25.1")
        node.comes_to("reported")
        conflict = node.holds(SOPInstanceUID=uid, PixelData=bytes(24))
        assert conflict == uid
        with node.desk.engine.begin() as connection:
            connection.execute(update(Pledge).values(state="dead", transaction_uid="2.25.2"))
        node.modality.came.clear()
        node.modality.ask(uid, transaction="2.25.3")
        assert node.modality.came.wait(10)
    assert node.modality.results == [(2, {uid: 0x0119}), (2, {uid: 0x0110})]


def test_a_request_that_comes_again_is_answered_again_and_another_under_its_name_is_not(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser) as node:
        uid, other = node.holds(), node.holds()
        node.archives(uid)
        assert node.modality.ask(uid) == 0x0000
        node.comes_to("reported")
        node.modality.came.clear()
        assert node.modality.ask(uid) == 0x0000
        assert node.modality.came.wait(10)
        assert node.modality.ask(other) == 0x0131
    assert node.modality.results == [(1, {uid: 0})] * 2


def test_a_modality_that_nobody_knows_how_to_reach_is_a_dead_letter(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, known_peer=False) as node:
        uid = node.holds()
        node.archives(uid)
        node.modality.ask(uid)
        node.comes_to("dead")
        assert "node.commitment_peers does not say where MODALITY listens" in node.row().detail
    assert node.modality.results == []


def test_a_receiver_that_died_with_the_association_open_leaves_the_telling_to_the_sender(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser) as node:
        uid = node.holds()
        node.archives(uid)
        node.modality.ask(uid)
        node.comes_to("reported")
        with node.desk.engine.begin() as connection:  # its row stays open, nobody watches
            connection.execute(update(Association).values(closed_at=None))
            connection.execute(update(Pledge).values(state="asked", results={}))
        node.modality.came.clear()
        with node.desk.engine.begin() as connection:
            node.engine.enqueue(connection, answering(1, "by-hand"))
        assert node.modality.came.wait(10)
    assert node.modality.ways == ["reverse", "reverse"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"action": 2}, 0x0123),
        ({"transaction": ""}, 0x0115),
        ({"sop_class": ""}, 0x0115),
    ],
)
def test_a_request_that_does_not_hold_together_is_refused(
    tmp_path: Path, a_parser: HeaderParser, arguments: dict[str, object], status: int
) -> None:
    with a_node(tmp_path, a_parser) as node:
        assert node.modality.ask("2.25.1", **arguments) == status  # type: ignore[arg-type]


def test_without_the_setting_nobody_is_told_anything(
    tmp_path: Path, a_parser: HeaderParser
) -> None:
    with a_node(tmp_path, a_parser, on=False) as node:
        assert node.modality.ask(node.holds()) == 0x0118
    assert node.modality.results == []
